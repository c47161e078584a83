from __future__ import annotations

import numpy as np
import pytest

from backend.models.fusemap.conformal import Residuals, calibrate


def planted(seed: int = 0) -> list[Residuals]:
    """Cells whose error doubles from the best to the worst misfit; depth says nothing."""
    rng = np.random.default_rng(seed)
    out = []
    for fold in range(4):
        misfit = rng.random(400)
        error = np.abs(rng.normal(size=(400, 12))) * (0.5 + misfit)[:, None]
        out.append(Residuals(0, fold, misfit, rng.integers(1, 90, 400).astype(float), error))
    return out


def test_intervals_hold_nine_of_ten_fresh_values() -> None:
    found = calibrate(planted(), 0)
    assert found is not None
    assert found.coverage == pytest.approx(0.9, abs=0.015)


def test_intervals_widen_with_misfit_and_not_with_depth() -> None:
    found = calibrate(planted(), 0)
    assert found is not None
    assert (np.diff(found.widths) > 0).all()
    assert found.widths[-1] / found.widths[0] == pytest.approx(1.4 / 0.6, rel=0.15)
    assert found.weights[1] > 0.3
    assert found.weights[2] < 0.1


def test_certainty_falls_with_misfit_and_stays_between_zero_and_one() -> None:
    found = calibrate(planted(), 0)
    assert found is not None
    misfit = np.linspace(0, 1, 50)
    certainty = found.certainty(misfit, np.full(50, 7.0))
    assert (np.diff(certainty) <= 0).all()
    assert certainty[0] == pytest.approx(1, abs=0.01)
    assert certainty[-1] == pytest.approx(0, abs=0.01)
    width = found.half_width(certainty)
    assert width[0] == pytest.approx(found.widths[0], rel=0.02)
    assert width[-1] == pytest.approx(found.widths[-1], rel=0.02)


def test_nothing_hidden_teaches_nothing() -> None:
    assert calibrate([], 0) is None
