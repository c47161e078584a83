"""The network's layout: joined types lie together, and it is the same every time."""

from __future__ import annotations

import numpy as np

from backend.analysis.contacts_network import force_layout


def test_types_that_attract_lie_nearer_than_types_that_avoid() -> None:
    pull = np.zeros((6, 6))
    pull[0, 1] = pull[1, 0] = 1.0
    pull[2, 3] = pull[3, 2] = -0.5
    xy = force_layout(pull)
    assert np.linalg.norm(xy[0] - xy[1]) < 0.5 * np.linalg.norm(xy[2] - xy[3])
    assert xy.min() == 0
    assert xy.max() == 1
    assert np.array_equal(xy, force_layout(pull))


def test_one_type_alone_has_a_place() -> None:
    assert np.isfinite(force_layout(np.zeros((1, 1)))).all()
    assert force_layout(np.zeros((0, 0))).shape == (0, 2)
