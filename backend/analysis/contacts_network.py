"""Where the types of a contact network are drawn: attraction pulls, avoidance pushes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.analysis.contacts import Contact

#: Steps of the layout; it is still long before.
STEPS = 300
#: Pull of a called attraction, push of a called avoidance, beside the push of all from all.
PULL, PUSH = 1.0, 0.5


def network(contacts: Sequence[Contact]) -> list[dict[str, float]]:
    """Return the place of each type of one region, ``{code, x, y}`` with x and y in 0..1."""
    codes = sorted({c.a for c in contacts} | {c.b for c in contacts})
    place = {code: i for i, code in enumerate(codes)}
    pull = np.zeros((len(codes), len(codes)))
    for c in contacts:
        strength = {"attraction": PULL, "avoidance": -PUSH, "": 0.0}[c.call]
        pull[place[c.a], place[c.b]] = pull[place[c.b], place[c.a]] = strength
    xy = force_layout(pull)
    return [{"code": code, "x": float(xy[i, 0]), "y": float(xy[i, 1])} for code, i in place.items()]


def force_layout(pull: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return positions of nodes in the unit square, (k, 2); the same for the same input.

    Parameters
    ----------
    pull : (k, k) float64
        Symmetric; above zero draws two nodes together, below zero drives them apart.

    Notes
    -----
    Fruchterman & Reingold 1991, started on a circle instead of at random.
    """
    k = len(pull)
    turn = 2 * np.pi * np.arange(k) / max(k, 1)
    xy = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    ideal = 2 / np.sqrt(max(k, 1))
    attract = np.where(pull > 0, pull, 0.0)[:, :, None]
    repel = (1.0 - np.where(pull < 0, pull, 0.0))[:, :, None]
    for step in range(STEPS):
        apart = xy[:, None] - xy[None]  # (k, k, 2)
        distance = np.linalg.norm(apart, axis=2, keepdims=True) + 1e-6
        force = (repel * ideal**2 / distance**2 - attract * distance / ideal) * apart
        move = force.sum(axis=1) - 0.3 * xy  # a weak pull home keeps loose nodes in sight
        length = np.linalg.norm(move, axis=1, keepdims=True) + 1e-9
        xy = xy + move / length * np.minimum(length, 0.2 * (1 - step / STEPS))
    lo, hi = xy.min(axis=0, initial=0), xy.max(axis=0, initial=0)
    return np.asarray((xy - lo) / np.maximum(hi - lo, 1e-9))
