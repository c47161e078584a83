"""The demo atlas as a whole: built, opened, labelled as simulated; cancelled without a trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import Cancelled, StoreExists
from backend.core.job import RunContext
from backend.demo.genes import gene_model
from backend.demo.make import make_demo
from backend.demo.section import section_data
from backend.demo.sections import plan_sections
from backend.store.atlas import Atlas

SIZE = {"sections": 4, "cells": 1_200, "genes": 60}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    path = tmp_path_factory.mktemp("demo") / "demo.zarr"
    make_demo(path, sections=4, cells=1_200, genes=60, seed=3)
    return Atlas.open(path)


def test_a_small_demo_opens_with_all_cells(small: Atlas) -> None:
    assert small.n_cells == 1_200
    assert len(small.sections()) == 4
    assert set(small.labels()) == {"class", "type", "region"}
    assert len(small.genes) == 60


def test_everything_says_simulated(small: Atlas) -> None:
    assert small.simulated
    for section in small.sections():
        assert section.simulated
        assert "(simulated)" in section.title
        assert "(simulated)" in section.technology
        assert section.notes[0].startswith("Simulated")


def test_stored_sections_equal_those_made_alone(small: Atlas) -> None:
    spec = plan_sections(4, 1_200, 3)[1]
    made, stored = section_data(spec, gene_model(60, 3)), small.load(spec.id)
    row = {name: i for i, name in enumerate(made.names)}
    order = [row[name] for name in stored.names]
    assert np.array_equal(stored.xy, made.xy[order])
    column = [made.genes.index(gene) for gene in stored.genes]
    assert (stored.counts != made.counts[order][:, column]).nnz == 0
    names = [c.name for c in stored.labels["type"].categories]
    expected = [c.name for c in made.labels["type"].categories]
    assert [names[c] for c in stored.labels["type"].codes] == [
        expected[c] for c in made.labels["type"].codes[order]
    ]


def test_an_existing_atlas_is_left_alone(small: Atlas) -> None:
    with pytest.raises(StoreExists):
        make_demo(Path(small.path), sections=1, cells=100, genes=60)


def test_a_cancelled_run_leaves_nothing(tmp_path: Path) -> None:
    told: list[str] = []

    def report(_: float, message: str) -> None:
        told.append(message)

    ctx = RunContext(report=report, cancelled=lambda: any("Wrote" in m for m in told))
    with pytest.raises(Cancelled):
        make_demo(tmp_path / "demo.zarr", sections=3, cells=600, genes=60, ctx=ctx)
    assert list(tmp_path.iterdir()) == []


def test_progress_grows_to_one(tmp_path: Path) -> None:
    seen: list[float] = []
    ctx = RunContext(report=lambda fraction, _: seen.append(fraction))
    make_demo(tmp_path / "demo.zarr", sections=2, cells=200, genes=40, ctx=ctx)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_run_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    wrote: list[str] = []

    def report(_: float, message: str) -> None:
        wrote.extend([message] if "Wrote" in message else [])
        if len(wrote) == 2:
            raise KeyboardInterrupt

    size = {"sections": 3, "cells": 300, "genes": 40}
    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "demo.zarr", **size, ctx=RunContext(report=report))
    left: list[str] = []
    ctx = RunContext(report=lambda _, message: left.append(message))
    make_demo(tmp_path / "demo.zarr", **size, ctx=ctx)
    assert sum("Wrote" in message for message in left) == 1
    assert Atlas.open(tmp_path / "demo.zarr").n_cells == 300
