"""What the annotation tells its owner, and that an upload is read as its card said."""

from __future__ import annotations

from backend.worker.reading import reading
from backend.worker.verbs import summary

FOUND = {
    "sections": ["mine"],
    "cells": 200,
    "figures": {
        "mine": {
            "nearest": [{"section": "s1"}],
            "genes": {"matched": 40},
            "labels": {
                "region": {"skipped": "no genes"},
                "class": {"unassigned": 0.5},
                "type": {"unassigned": 0.1},
            },
        }
    },
}


def test_the_summary_counts_unassigned_cells_of_the_main_label() -> None:
    found = summary(FOUND)
    assert (found["n_cells"], found["n_matched"], found["n_unassigned"]) == (200, 40, 20)
    assert found["label"] == "type"
    assert found["unassigned"] == {"class": 0.5, "type": 0.1}


def test_a_label_that_was_skipped_counts_nothing() -> None:
    first = {**FOUND["figures"]["mine"], "labels": {"type": {"skipped": "no genes"}}}
    assert summary({**FOUND, "figures": {"mine": first}})["n_unassigned"] is None


def test_an_upload_is_read_as_its_card_said() -> None:
    card = {"xy_unit": "mm", "coordinates_in": "obs/x, obs/y", "counts_in": "layers/counts"}
    found = reading({**card, "genes_in": "var/gene_name"}, "my {file}")
    assert (found.xy, found.counts, found.symbol) == (
        "obs/x, obs/y",
        "layers/counts",
        "var/gene_name",
    )
    assert (found.scale, found.xy_unit) == (1000.0, "um")
    assert found.title.format(section="", file="") == "my (file)"


def test_without_a_card_everything_is_guessed() -> None:
    found = reading({}, "q")
    assert (found.xy, found.counts, found.symbol) == (None, None, None)
    assert (found.scale, found.xy_unit) == (1.0, "um")
