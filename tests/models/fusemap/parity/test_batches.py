from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from backend.models.fusemap.parity.batches import batches, block, n_batches
from backend.models.fusemap.parity.graph import normalised_graph
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.streams import Draw, stream

#: A path 0 - 1 - 2 - 3 - 4 - 5.
PATH = normalised_graph(csr_matrix(np.eye(6, k=1) + np.eye(6, k=-1)))
Z = np.arange(12, dtype=np.float32).reshape(6, 2)


def test_a_published_block_has_exact_niches_of_the_seeds_and_rebuilds_neighbours_in_part() -> None:
    b = block(PATH, np.array([1, 4]), "minibatch")
    assert b.cells.tolist() == b.rebuilt.tolist() == [0, 1, 2, 3, 4, 5]
    niche = (b.gather @ torch.from_numpy(Z[b.cells])).numpy()
    np.testing.assert_allclose(niche, (PATH.T @ Z)[[1, 4]], rtol=1e-6)
    back = (b.scatter @ torch.from_numpy(niche)).numpy()
    only = PATH.toarray()[:, [1, 4]] @ niche
    np.testing.assert_allclose(back, only, rtol=1e-6)
    assert not np.allclose(back, PATH @ (PATH.T @ Z))


def test_an_exact_block_rebuilds_the_seeds_as_the_whole_graph_would() -> None:
    b = block(PATH, np.array([0, 3]), "exact")
    assert b.rebuilt.tolist() == [0, 3]
    assert b.niches.tolist() == [0, 1, 2, 3, 4]
    niche = b.gather @ torch.from_numpy(Z[b.cells])
    back = (b.scatter @ niche).numpy()
    np.testing.assert_allclose(back, (PATH @ (PATH.T @ Z))[[0, 3]], rtol=1e-6)


def test_a_pass_goes_through_every_cell_once_and_replays_in_the_same_order() -> None:
    order = list(islice(batches(10, Settings(batch=4), stream(0, Draw.ORDER)), 6))
    assert sorted(np.concatenate(order[:3]).tolist()) == list(range(10))
    assert [len(b) for b in order[:3]] == [4, 4, 2]
    assert all((np.diff(b) > 0).all() for b in order)
    for a, b in zip(order[:3], order[3:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_replay_the_second_pass_is_shuffled_anew() -> None:
    settings = Settings(batch=4, replay=False)
    order = list(islice(batches(40, settings, stream(0, Draw.ORDER)), 20))
    assert sorted(np.concatenate(order[10:]).tolist()) == list(range(40))
    assert not np.array_equal(order[0], order[10])


@pytest.mark.parametrize(
    ("n", "size", "count"), [(10, 4, 3), (9, 4, 2), (8, 4, 2), (1, 4, 1), (3, 4, 1), (5, 4, 1)]
)
def test_a_last_cell_alone_joins_the_batch_before_it(n: int, size: int, count: int) -> None:
    assert n_batches(n, size) == count
    first = islice(batches(n, Settings(batch=size), stream(0, Draw.ORDER)), count)
    assert sum(len(b) for b in first) == n
