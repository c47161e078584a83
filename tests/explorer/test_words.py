from __future__ import annotations

from typing import Any

import pytest

from backend.core.layers import LayerKey
from explorer import words


@pytest.mark.parametrize(
    ("n", "noun", "said"),
    [(1, "section", "1 section"), (12, "class", "12 classes"), (6509, "cell", "6,509 cells")],
)
def test_counts_carry_their_noun(n: int, noun: str, said: str) -> None:
    assert words.plural(n, noun) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"), [(5, 100, "5.0 %"), (34, 100, "34 %"), (1, 0, "0 %")]
)
def test_shares_have_one_digit_below_ten_per_cent(part: float, whole: float, said: str) -> None:
    assert words.percent(part, whole) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (2.345, "2.35"), (-0.5, "\u22120.5"), (12345.6, "12,346"), (0.00012, "0.00012")],
)
def test_values_have_three_digits_and_a_true_minus(value: float, said: str) -> None:
    assert words.number(value) == said


def test_positions_are_signed() -> None:
    assert words.signed(-0.29) == "\u22120.29"
    assert words.signed(0.3) == "+0.30"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (40, "40 s"), (150, "2 min"), (7200, "2.0 h")]
)
def test_durations_are_short(seconds: float, said: str) -> None:
    assert words.seconds(seconds) == said


@pytest.mark.parametrize(
    ("n", "said"), [(12, "12 bytes"), (1_600_000, "1.6 MB"), (2_000_000_000, "2.0 GB")]
)
def test_file_sizes_have_a_unit(n: float, said: str) -> None:
    assert words.size(n) == said


def section(**more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "n_cells": 43341,
        "extent": [0, 0, 6800, 5100],
        "xy_unit": "um",
        "unit": "counts",
        "n_genes": 10,
        "technology": "MERFISH",
        "position": None,
        "axis": "",
        "noun": "cell",
    }
    return {**plain, **more}


def test_facts_name_cells_size_and_technology() -> None:
    assert words.facts(section()) == "43,341 cells, 6.8 \u00d7 5.1 mm, MERFISH"


def test_rows_of_a_section_are_called_what_they_are() -> None:
    assert words.brief(section(noun="subspot")).startswith("43,341 subspots")
    assert words.facts(section(noun="spot", n_cells=1)).startswith("1 spot,")


def test_facts_say_what_is_not_counts() -> None:
    assert "not counts: z-scores" in words.facts(section(unit="z-scores"))
    assert "not counts" not in words.facts(section(unit="none", n_genes=0))


def test_facts_give_the_size_in_the_unit_of_the_section() -> None:
    assert "6,800 \u00d7 5,100 px" in words.facts(section(xy_unit="px"))


def test_a_label_of_a_query_is_annotated() -> None:
    region, domain = LayerKey("label", "region"), LayerKey("label", "domain")
    assert words.kind_tag(region, True) == ("Annotated", "imp")
    assert words.kind_tag(region, False) == ("Label", "mea")
    assert words.kind_tag(domain, False) == ("Model", "")


@pytest.mark.parametrize(
    ("title", "technology", "short"),
    [
        (
            "Coronal \u22123.7 mm, MERFISH-like (simulated)",
            "MERFISH-like (simulated)",
            "Coronal \u22123.7 mm",
        ),
        ("Whole coronal section, ISS", "ISS", "Whole coronal section"),
        ("Visual cortex BY3", "STARmap", "Visual cortex BY3"),
        ("ISS", "ISS", "ISS"),
        ("Rest, Visium (simulated), subspots", "Visium (simulated)", "Rest, Visium, subspots"),
        ("Anything", "", "Anything"),
    ],
)
def test_a_path_leaves_out_what_its_data_set_says(title: str, technology: str, short: str) -> None:
    assert words.short_title({"title": title, "technology": technology}) == short


@pytest.mark.parametrize(
    ("value", "said"), [(0.683, "0.683"), (0.00819, "0.0082"), (0.0001, "<0.001"), (0.0, "0")]
)
def test_a_mean_fits_its_column(value: float, said: str) -> None:
    assert words.mean(value) == said
