from __future__ import annotations

import numpy as np
import pytest

from backend.models.fusemap.parity.transfer import transfer

RNG = np.random.default_rng(0)
CODES = RNG.choice(3, 600, p=[0.8, 0.15, 0.05])
Z = (4 * np.eye(3)[CODES] + RNG.normal(0, 0.5, (600, 3))).astype(np.float32)


@pytest.mark.parametrize("double", [True, False])
def test_planted_classes_are_transferred_the_rare_one_too(double: bool) -> None:
    found = transfer(Z[:400], CODES[:400], Z[400:], seed=0, epochs=40, double=double)
    for code in range(3):
        is_class = CODES[400:] == code
        assert (found.codes[is_class] == code).mean() > 0.9
    np.testing.assert_allclose(found.probability.sum(axis=1), 1, atol=1e-5)


def test_cells_between_classes_are_less_certain_and_the_seed_decides() -> None:
    query = np.array([[4, 0, 0], [2, 2, 0]], dtype=np.float32)
    found = transfer(Z, CODES, query, seed=1)
    assert found.uncertainty[1] > found.uncertainty[0]
    np.testing.assert_array_equal(found.probability, transfer(Z, CODES, query, seed=1).probability)
