from __future__ import annotations

import numpy as np

from backend.models.spatialglue.axes import spatial_axes
from backend.models.spatialglue.graphs import ring_average


def _lattice(side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.divmod(np.arange(side * side), side)
    return np.stack([x, y], axis=1).astype(float), np.random.default_rng(0).normal(
        size=(side * side, 5)
    )


def test_a_planted_pattern_is_the_one_axis_kept() -> None:
    xy, f = _lattice()
    pattern = np.where(xy[:, 0] < 12, 1.0, -1.0)
    f[:, 2] *= 5  # a large component without structure must not hide it
    f[:, 3] += 2 * pattern
    axes = spatial_axes(f, ring_average(xy, 4), np.random.default_rng(1))
    assert axes.count == 1
    found = axes(f)[:, 0]
    assert abs(np.corrcoef(found, pattern)[0, 1]) > 0.85
    noise = found - np.where(pattern > 0, found[pattern > 0].mean(), found[pattern < 0].mean())
    assert 0.8 < noise.std() < 1.2  # unit noise


def test_noise_keeps_no_axis() -> None:
    xy, f = _lattice()
    assert spatial_axes(f, ring_average(xy, 4), np.random.default_rng(2)).count == 0


def test_scale_and_rotation_of_components_do_not_matter() -> None:
    xy, f = _lattice()
    f[:, 0] += np.sin(xy[:, 1] / 4)
    ring = ring_average(xy, 4)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(5, 5)))[0] * [1, 7, 0.2, 3, 1]
    a = spatial_axes(f, ring, np.random.default_rng(4))
    b = spatial_axes(f @ turn, ring, np.random.default_rng(4))
    np.testing.assert_allclose(a.moran[0], b.moran[0], rtol=1e-6)
    np.testing.assert_allclose(abs(a(f)[:, 0]), abs(b(f @ turn)[:, 0]), rtol=1e-3, atol=1e-4)
