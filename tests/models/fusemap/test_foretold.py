from __future__ import annotations

import numpy as np
import pytest

from backend.models.fusemap.foretold import foretold_r

#: Genes 0 to 2 point one way, 3 to 5 another; 2 and 5 were never hidden.
EMBEDDING = np.array([[1.0, 0], [2, 0], [-1, 0], [0, 1.0], [0, 2], [0, 3]])
#: Genes 0 and 1 reached r of half their spread, genes 3 and 4 all of it.
HELD = np.array(
    [[0, 0, 0.2, 0, 0.4], [0, 1, 0.4, 0, 0.8], [0, 3, 0.3, 0, 0.3], [0, 4, 0.6, 0, 0.6]]
)


def test_genes_follow_those_that_point_the_same_or_the_opposite_way() -> None:
    found = foretold_r(HELD, ["a"], EMBEDDING, np.full((1, 6), 0.4), 0.7)
    # Two genes of ratio 1/2 and the mean of all, 3/4, with weight one; the others weigh e^-1/.15.
    far = np.exp(-1 / 0.15)
    like = (2 * 0.5 + 2 * far + 0.75) / (3 + 2 * far)
    assert found[0, 2] == pytest.approx(0.4 * like)
    assert found[0, 5] == pytest.approx(0.4 * (2 + 2 * far * 0.5 + 0.75) / (3 + 2 * far))


def test_a_data_set_in_which_nothing_was_hidden_follows_the_others_as_a_whole() -> None:
    found = foretold_r(HELD, ["a", "b"], EMBEDDING, np.full((2, 6), 0.4), 0.7)
    np.testing.assert_allclose(found[1], 0.28)


def test_what_is_foretold_is_a_correlation() -> None:
    found = foretold_r(HELD, ["a"], EMBEDDING, np.full((1, 6), 9.0), 0.7)
    assert found.max() == 1.0
