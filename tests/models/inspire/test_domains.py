from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score

from backend.core.data import SectionData
from backend.models.inspire.domains import find_domains, labels_of
from backend.models.inspire.em import SHAPES, State
from backend.models.inspire.inputs import join
from backend.models.inspire.readout import groups, of_places

SIDE, GENES = 16, 60


def _halves(seed: int) -> tuple[SectionData, State, np.ndarray]:
    """Two halves of the same factors, whose genes have other levels."""
    rng = np.random.default_rng(seed)
    xy = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2).astype(float)
    half = (xy[:, 0] >= SIDE / 2).astype(np.int64)
    programs = rng.dirichlet(np.ones(GENES), 2)
    t = 100 * np.eye(2)[rng.integers(0, 2, SIDE**2)] + 1.0
    level = np.where(half[:, None] == 1, np.exp(rng.normal(0, 0.5, GENES)), 1.0)
    counts = csr_matrix(rng.poisson((t @ programs) * level).astype(np.float32))
    section = SectionData(
        id="s", title="s", xy=xy.astype(np.float32), counts=counts,
        genes=tuple(f"G{g}" for g in range(GENES)), names=np.arange(SIDE**2).astype(str),
    )  # fmt: skip
    state = State((t,), programs, np.ones((1, GENES)), np.full(GENES, SHAPES[1]))
    return section, state, half


def test_regions_that_change_genes_but_not_factors_are_told_apart() -> None:
    section, state, half = _halves(3)
    data = join([section])
    [found] = labels_of(find_domains(data, state, 2, 0))
    [plain] = groups(of_places(data, state.proportions()), 2, 0)
    assert adjusted_rand_score(half, found) > 0.8
    assert adjusted_rand_score(half, plain) < 0.3


def test_the_largest_domain_comes_first() -> None:
    likely = [np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])]
    np.testing.assert_array_equal(labels_of(likely)[0], [1, 0, 0])
