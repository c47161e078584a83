from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score

from backend.core.data import SectionData
from backend.models.inspire.domains import find_domains, foretold, labels_of, some_of
from backend.models.inspire.em import SHAPES, State
from backend.models.inspire.inputs import join
from backend.models.inspire.readout import groups, of_places

SIDE, GENES = 16, 60


def _section(
    rng: np.random.Generator, t: np.ndarray, level: np.ndarray, pitch: float
) -> tuple[SectionData, State]:
    """Cells on a grid with loadings ``t`` of random programs, whose genes have levels."""
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2)
    programs = rng.dirichlet(np.full(GENES, 0.5), t.shape[1])
    counts = csr_matrix(rng.poisson((t @ programs) * level).astype(np.float32))
    section = SectionData(
        id="s", title="s", xy=(pitch * grid).astype(np.float32), counts=counts,
        genes=tuple(f"G{g}" for g in range(GENES)), names=np.arange(SIDE**2).astype(str),
    )  # fmt: skip
    state = State((t,), programs, np.ones((1, GENES)), np.full(GENES, SHAPES[1]))
    return section, state


def _column() -> np.ndarray:
    return np.tile(np.arange(SIDE), SIDE)


def test_regions_that_change_genes_but_not_factors_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    half = (_column() >= SIDE / 2).astype(np.int64)
    t = 100 * np.eye(2)[rng.integers(0, 2, SIDE**2)] + 1.0
    level = np.where(half[:, None] == 1, np.exp(rng.normal(0, 0.5, GENES)), 1.0)
    section, state = _section(rng, t, level, 1.0)
    data = join([section])
    found = find_domains(data, state, 2, 0)
    [plain] = groups(of_places(data, state.proportions()), 2, 0)
    assert found.of == "cells"
    assert found.chosen.trust > 0
    assert adjusted_rand_score(half, labels_of(found.likely)[0]) > 0.8
    assert adjusted_rand_score(half, plain) < 0.3


def test_cells_of_mixed_types_are_tied_and_types_are_no_domains() -> None:
    rng = np.random.default_rng(4)
    half = (_column() >= SIDE / 2).astype(np.int64)
    types = np.where(rng.random(SIDE**2) < 0.85, half, 1 - half)
    section, state = _section(rng, 100 * np.eye(2)[types] + 1.0, np.ones(GENES), 1.0)
    found = find_domains(join([section]), state, 2, 0)
    assert found.ties > 3
    assert adjusted_rand_score(half, labels_of(found.likely)[0]) > 0.9


def test_layers_as_thin_as_a_spot_are_kept_apart() -> None:
    rng = np.random.default_rng(5)
    stripe = _column() % 2
    section, state = _section(rng, 100 * np.eye(2)[stripe] + 60.0, np.ones(GENES), 100.0)
    found = find_domains(join([section]), state, 2, 0)
    assert found.of == "spots"
    assert not found.chosen.tied
    assert found.chosen.rounds == 0
    assert adjusted_rand_score(stripe, labels_of(found.likely)[0]) > 0.95


def test_what_is_foretold_is_the_gain_of_a_profile_over_the_sections() -> None:
    t = np.full((SIDE**2, 2), 1.0)
    section, _ = _section(np.random.default_rng(6), t, np.ones(GENES), 1.0)
    counts = np.zeros((SIDE**2, GENES), dtype=np.float32)
    half = _column() >= SIDE / 2
    counts[half, 0], counts[~half, 1] = 10.0, 10.0
    data = join([section]).with_counts([csr_matrix(counts)])
    # Two genes, each all of one domain: log 2 nats, but for the pseudo-counts.
    assert abs(foretold(data, np.eye(2)[half.astype(int)], False) - np.log(2)) < 0.02
    assert foretold(data, np.full((SIDE**2, 2), 0.5), False) < 1e-6
    across = foretold(data, np.eye(2)[half.astype(int)], True)
    assert 0.4 < across < np.log(2)


def test_some_sections_are_taken_with_their_state() -> None:
    rng = np.random.default_rng(7)
    section, state = _section(rng, np.full((SIDE**2, 2), 1.0), np.ones(GENES), 1.0)
    data = join([section, section])
    both = State(state.loadings * 2, state.programs, np.array([[1.0], [2.0]]), state.shapes)
    own, left = some_of(data, both, [1])
    assert own.n == SIDE**2
    assert len(left.loadings) == 1
    np.testing.assert_array_equal(left.scales, [[2.0]])


def test_the_largest_domain_comes_first() -> None:
    likely = [np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])]
    np.testing.assert_array_equal(labels_of(likely)[0], [1, 0, 0])
