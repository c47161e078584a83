from __future__ import annotations

import numpy as np
import pytest

from backend.models.inspire.transfer import transfer


def _three(noise: float = 0.05) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return three sections of two groups, the last without labels, and the truth."""
    rng = np.random.default_rng(0)
    truth = [rng.integers(0, 2, 60) for _ in range(3)]
    points = [np.stack([t, 1 - t], axis=1) + rng.normal(0, noise, (60, 2)) for t in truth]
    return points, truth


def test_a_section_without_labels_takes_those_of_cells_like_its_own() -> None:
    points, truth = _three()
    given = [truth[0], truth[1], np.full(60, -1)]
    found = transfer({"cells": points}, given, {}, 0)
    np.testing.assert_array_equal(found.codes[2], truth[2])
    assert found.confidence[2].min() > 0.9
    assert found.accuracy == {"cells": 1.0}
    assert found.held_out == "each section"


def test_cells_that_have_a_label_keep_it_and_have_no_confidence() -> None:
    points, truth = _three()
    wrong = 1 - truth[0]
    found = transfer({"cells": points}, [wrong, truth[1], truth[2]], {}, 0)
    np.testing.assert_array_equal(found.codes[0], wrong)
    assert np.isnan(found.confidence[0]).all()


def test_the_space_that_calls_held_out_cells_best_is_used() -> None:
    points, truth = _three()
    noise = [np.random.default_rng(s).normal(size=(60, 2)) for s in range(3)]
    given = [truth[0], truth[1], np.full(60, -1)]
    found = transfer({"cells": noise, "places": points}, given, {"plain": noise}, 0)
    assert found.space == "places"
    assert found.accuracy["places"] == pytest.approx(1.0)
    assert found.accuracy["plain"] < 0.8
    assert found.as_json()["transferred"] == [0, 0, 60]


def test_one_labelled_section_is_held_out_in_parts() -> None:
    points, truth = _three()
    found = transfer({"cells": points}, [truth[0], np.full(60, -1), np.full(60, -1)], {}, 0)
    assert found.held_out == "quarters of the only labelled section"
    np.testing.assert_array_equal(found.codes[1], truth[1])
