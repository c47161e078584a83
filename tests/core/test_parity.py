from __future__ import annotations

import json

import numpy as np
import pytest

from backend.core.parity import compared, metric, report


def test_errors_are_relative_to_the_size_of_the_reference() -> None:
    row = compared("z", [3.0, 4.1], [3.0, 4.0], 0.03)
    assert (row.ours, row.reference) == (4.1, 4.0)
    assert row.error == pytest.approx(0.1 / np.sqrt(12.5))
    assert row.ok


def test_a_single_number_has_its_ordinary_relative_error() -> None:
    assert compared("loss", 1.1, 1.0, 0.01).error == pytest.approx(0.1)
    assert not compared("loss", 1.1, 1.0, 0.01).ok


@pytest.mark.parametrize("ours", [[1.0, np.nan], [np.inf, 2.0], [1.0], [[1.0, 2.0]]])
def test_what_is_not_finite_or_of_another_shape_is_missed(
    ours: list[float] | list[list[float]],
) -> None:
    row = compared("z", ours, [1.0, 2.0], 1e9)
    assert not row.ok
    json.dumps(row.as_json(), allow_nan=False)


def test_metrics_may_differ_by_a_stated_amount() -> None:
    assert metric("ARI", 0.40, 0.37, 0.1).ok
    assert not metric("ARI", 0.26, 0.37, 0.1).ok
    assert not metric("ARI", float("nan"), 0.37, 0.1).ok


def test_a_report_is_right_only_if_it_has_rows_and_all_are() -> None:
    good, bad = metric("a", 1, 1, 0), metric("b", 1, 2, 0)
    assert report("m", "f", [good]).ok
    assert not report("m", "f", [good, bad]).ok
    assert not report("m", "f", []).ok
    table = report("m", "f", [good, bad], "One seed.").table().splitlines()
    assert [line.endswith("MISSED") for line in table] == [False, False, True, False, False]
    assert table[-2:] == ["One seed.", "1 of 2 within tolerance."]
