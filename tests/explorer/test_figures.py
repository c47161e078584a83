from __future__ import annotations

from backend.core.layers import Trust
from explorer.figures import histogram, mean_rows, shares, stack, trust_badge
from tests.explorer.said import having, text


def test_a_histogram_has_a_bar_per_bin_as_high_as_its_share_of_the_highest() -> None:
    figure = histogram([0, 1, 2, 3], [2, 4, 1], ("lo", "hi"), "Colour range")
    bars = having(figure, "data-n")
    assert [getattr(b, "data-n") for b in bars] == ["2", "4", "1"]
    assert [b.style["height"] for b in bars] == ["50.0%", "100.0%", "25.0%"]


def test_handles_are_sliders_with_a_name_and_bounds() -> None:
    handles = having(histogram([0, 5], [1], ("lo", "hi"), "Range"), "role", "slider")
    assert [getattr(h, "aria-label") for h in handles] == ["Range, lowest", "Range, highest"]
    assert [getattr(h, "aria-valuemax") for h in handles] == ["5", "5"]


def test_an_empty_histogram_has_no_height() -> None:
    bars = having(histogram([0, 1], [0], (), "Range"), "data-n")
    assert [b.style["height"] for b in bars] == ["0.0%"]


def test_trust_shows_the_figure_beside_the_baseline() -> None:
    said = text(
        trust_badge(Trust(0.82, 0.34, "held-out r", "cell-type mean", "Hidden."), "imputed")
    )
    for part in ("0.82", "0.34", "cell-type mean", "Strong", "Hidden."):
        assert part in said


def test_trust_close_to_the_baseline_is_weak() -> None:
    assert "Weak" in text(trust_badge(Trust(0.36, 0.34, "r", "mean", "Hidden."), "imputed"))


def test_trust_that_was_not_tested_is_said() -> None:
    assert "Not tested" in text(trust_badge(None, "imputed"))


ROWS = [
    {"name": "Neuron", "colour": "#111111", "count": 75},
    {"name": "Glia", "colour": "#222222", "count": 25},
]


def test_shares_are_of_all_rows_and_bars_of_the_first() -> None:
    rows = shares(ROWS, 1)
    assert text(rows) == "Neuron 75 %"
    assert "No cells" in text(shares([], 5))


def test_a_stack_fills_its_width() -> None:
    bars = [n.style["width"] for n in having(stack(ROWS, 100), "title")]
    assert bars == ["75.00%", "25.00%"]


def test_means_keep_their_order() -> None:
    rows = [
        {"name": "CA1", "colour": "#111111", "mean": 2.8, "n": 10},
        {"name": "Thalamus", "colour": "#222222", "mean": 0.2, "n": 10},
    ]
    assert text(mean_rows(rows, 5)) == "CA1 2.8 Thalamus 0.2"


def test_baseline_that_wins_is_said_to() -> None:
    lost = Trust(0.18, 0.32, "held-out r", "nearest neighbours in shared genes", "Hidden.")
    assert "Better here: nearest neighbours" in text(trust_badge(lost, "imputed"))


def test_untested_gene_says_what_to_expect() -> None:
    assert "reached r 0.12" in text(trust_badge(None, "imputed", 0.12))
