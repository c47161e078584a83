"""Gene pairs of two types: moments, a planted pair, the null, spilled transcripts, refusals."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from backend.core.errors import TooFewCells
from backend.models.common.prep import normalised
from backend.models.spatialformer.genepairs import GenePairs, _moments, gene_pair_tests
from backend.models.spatialformer.spill import spill_suspects, spill_test
from backend.models.spatialformer.type_contacts import find_contacts
from tests.models.spatialformer.planted import contacts, spilled


def _tested(seed: int, ratio: float = 1.0) -> GenePairs:
    section, label = contacts(seed, ratio)
    is_a, is_b = label.codes == 0, label.codes == 1
    values = normalised(section.counts, False)
    return gene_pair_tests(values, find_contacts(section.xy, is_a, is_b))


def test_moments_are_those_of_all_permutations_within_blocks() -> None:
    random = np.random.default_rng(0)
    r, t, block = (
        random.normal(size=(7, 2)),
        random.normal(size=(7, 3)),
        np.array([0] * 4 + [1] * 3),
    )
    all_u = np.array(
        [
            r[np.r_[np.array(p), np.array(q)]].T @ t
            for p in permutations(range(4))
            for q in permutations(range(4, 7))
        ]
    )
    expected, variance = _moments(r, t, block)
    assert np.allclose(expected, all_u.mean(axis=0))
    assert np.allclose(variance, all_u.var(axis=0))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_pair_is_called_and_ranked_first(seed: int) -> None:
    found = _tested(seed, ratio=4.0)
    at = np.unravel_index(found.p.argmin(), found.p.shape)
    assert (found.genes_a[at[0]], found.genes_b[at[1]]) == (3, 7)
    assert found.q.min() < 0.05
    assert found.ratio[at] > 1.2
    assert found.effect[at] > 0


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert sum(int((_tested(seed).q < 0.05).any()) for seed in range(20, 28)) == 0


def _warned(seed: int, share: float) -> bool:
    section, label = contacts(seed)
    section = spilled(section, share, seed) if share else section
    values = normalised(section.counts, False)
    found = spill_test(values, section.xy, label.codes == 0, label.codes == 1)
    assert found is not None
    return found.warns


def test_spilled_transcripts_are_warned_of_and_clean_ones_are_not() -> None:
    assert _warned(4, 0.1)
    assert not _warned(4, 0.0)


def test_spill_is_not_judged_where_no_cells_adjoin() -> None:
    section, label = contacts(1)
    values = normalised(section.counts, False)
    assert spill_test(values, section.xy * 3, label.codes == 0, label.codes == 1) is None


def test_a_pair_of_one_gene_is_a_suspect() -> None:
    section, label = contacts(1)
    found = _tested(1)
    rows = np.flatnonzero(label.codes == 0), np.flatnonzero(label.codes == 1)
    suspects = spill_suspects(normalised(section.counts, False), found, *rows)
    same = found.genes_a[:, None] == found.genes_b[None, :]
    assert suspects[same].all()


def test_too_few_contacts_are_counted_and_the_need_is_named() -> None:
    section, label = contacts(1)
    far = np.zeros(section.n_cells, bool)
    far[:3] = True
    with pytest.raises(TooFewCells, match="100 contacts between at least 30 cells"):
        find_contacts(section.xy, far, label.codes == 1)
