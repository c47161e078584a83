from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.core.job import RunContext
from backend.models.spatialglue import tiles
from backend.models.spatialglue.ensemble import embed
from backend.models.spatialglue.fit import CYCLE, Inputs, attend, loss_of, start, train
from backend.models.spatialglue.graphs import normalised, spatial_graph
from backend.models.spatialglue.tiles import batches, tile_rows


def _inputs(side: int = 8) -> Inputs:
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(side * side), side)
    xy = np.stack([x, y], axis=1).astype(np.float32)
    spatial = normalised(spatial_graph(xy, 3))
    axes = [rng.normal(size=(len(xy), a)).astype(np.float32) for a in (3, 2)]
    smooth = [np.asarray(spatial @ v) for v in axes]
    like = [np.asarray(spatial @ v) for v in smooth]
    return Inputs(axes, smooth, like, np.ones((len(xy), 2), bool), spatial, xy)


def _batch(inputs: Inputs) -> tiles.Batch:
    return next(batches(inputs.axes, inputs.smooth, inputs.like, inputs.present, inputs.spatial,
                        inputs.xy, 0))  # fmt: skip


def test_an_untrained_network_averages_the_graphs_and_rotates_nothing() -> None:
    inputs = _inputs()
    found = embed(inputs.smooth, inputs.like, start([3, 2], [5]), RunContext())
    mean = [(s + k) / 2 for s, k in zip(inputs.smooth, inputs.like, strict=True)]
    np.testing.assert_allclose(found.embeddings[0], np.concatenate(mean, axis=1), atol=1e-6)
    np.testing.assert_allclose(found.across, 0.5, atol=1e-6)
    np.testing.assert_allclose(found.ablation[0, :, 0], (mean[0] ** 2).sum(axis=1), rtol=1e-4)


def test_the_loss_is_that_of_the_latent_written_out() -> None:
    inputs = _inputs()
    batch = _batch(inputs)
    nets = start([3, 2], [1])
    gen = torch.Generator().manual_seed(0)
    for u in nets.u:
        u += torch.randn(u.shape, generator=gen)
    for e in nets.encoders:
        e += 0.3 * torch.randn(e.shape, generator=gen)
    size = [2.0, 3.0]
    out = attend(batch.smooth, batch.like, nets)
    found = float(loss_of(batch, size, out, nets)[0])
    s = batch.graph.to_dense()
    y = [q[0] @ e[0] for q, e in zip(out.mixed, nets.encoders, strict=True)]
    z = sum(out.alpha[0, :, m : m + 1] * y[m] for m in range(2))
    expected = sum(
        ((batch.axes[m] - s @ z @ nets.decoders[m][0]) ** 2).sum() / len(z) / size[m]
        for m in range(2)
    )
    for m, k in ((0, 1), (1, 0)):
        back = s @ s @ y[m] @ nets.decoders[k][0] @ nets.encoders[k][0]
        expected += CYCLE * ((y[m] - back) ** 2).sum() / (y[m] ** 2).sum()
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_seeds_trained_together_are_those_trained_alone() -> None:
    inputs = _inputs()
    both, record = train(inputs, [3, 4], RunContext(), epochs=5)
    alone, own = train(inputs, [4], RunContext(), epochs=5)
    np.testing.assert_allclose(record[:, 1], own[:, 0], rtol=1e-5)
    for a, b in zip(both.tensors(), alone.tensors(), strict=True):
        np.testing.assert_allclose(a[1].detach(), b[0].detach(), atol=1e-5)
    assert record[-1].mean() < record[0].mean()


def test_tiles_cover_every_spot_once() -> None:
    xy = np.random.default_rng(1).random((1000, 2))
    found = tile_rows(xy, 100)
    assert sorted(np.concatenate(found).tolist()) == list(range(1000))
    assert max(map(len, found)) <= 100


def test_a_batch_of_tiles_holds_all_neighbours_of_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles, "TILES", 2)
    monkeypatch.setattr(tile_rows, "__defaults__", (16,))
    monkeypatch.setattr(tiles, "TILE", 16)
    inputs = _inputs(12)
    batch = _batch(inputs)
    core = batch.core.numpy()
    assert 16 < core.sum() < len(core) < 144
    # averaged twice within the batch, the core has the values of the whole section
    rows = np.flatnonzero(_in(batch, inputs))
    twice = inputs.spatial @ (inputs.spatial @ inputs.axes[0])
    here = (batch.graph @ (batch.graph @ batch.axes[0])).numpy()
    np.testing.assert_allclose(here[core], twice[rows][core], atol=1e-5)


def _in(batch: tiles.Batch, inputs: Inputs) -> np.ndarray:
    """Which spots of the section are in the batch, told by their axes."""
    own = {tuple(row) for row in batch.axes[0].numpy().tolist()}
    return np.array([tuple(row) in own for row in inputs.axes[0].tolist()])
