"""Labels carried from the cells that have them to those that do not, by shares of factors.

A cell takes the commonest label of its nearest labelled cells; the share of these that agree is its
confidence. Shares of cells and of places are both tried where labelled sections can be held out:
types go by the former, regions by the latter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Nearest labelled cells that vote, and labelled cells at most.
VOTERS, MOST = 15, 20_000
#: Labelled cells of a section from which it can be held out; parts of a lone labelled section.
LEAST, PARTS = 30, 4


@dataclass(frozen=True, slots=True)
class Transferred:
    """Labels of every cell.

    Parameters
    ----------
    codes : (n,) int64 per section
        Of cells that have a label, their own.
    confidence : (n,) float32 per section
        Share of the voters that agree; nan for cells that have a label.
    space : str
        Whose shares voted.
    accuracy : mapping
        Share of held-out cells that are called right, by space and plain method; empty where no
        section could be held out.
    held_out : str
        What was held out.
    """

    codes: list[Codes]
    confidence: list[NDArray[np.float32]]
    space: str
    accuracy: Mapping[str, float]
    held_out: str

    def as_json(self) -> dict[str, Any]:
        """Return what is told of it."""
        called = [c[np.isfinite(v)] for c, v in zip(self.codes, self.confidence, strict=True)]
        return {
            "space": self.space,
            "accuracy": dict(self.accuracy),
            "held_out": self.held_out,
            "transferred": [len(c) for c in called],
        }


def transfer(
    spaces: Mapping[str, Sequence[Floats]],
    truth: Sequence[Codes],
    plain: Mapping[str, Sequence[Floats]],
    seed: int,
) -> Transferred:
    """Return the labels of cells that have none.

    Parameters
    ----------
    spaces : mapping of name to (n, d) per section
        Spaces of the model; the one that calls held-out cells best is used, the first on a tie.
    truth : (n,) int64 per section, -1 where a cell has no label
    plain : mapping of name to (n, d) per section
        Spaces of plain methods, tested beside them.
    seed : int
    """
    groups, what = _held_out(truth, seed)
    tested = {
        name: _tested(points, truth, groups, seed) for name, points in {**spaces, **plain}.items()
    } if groups is not None else {}  # fmt: skip
    space = max(spaces, key=lambda name: tested.get(name, 0.0))
    codes, confidence = [], []
    known = np.concatenate(truth) >= 0
    points, labels = np.vstack(spaces[space])[known], np.concatenate(truth)[known]
    for own, z in zip(truth, spaces[space], strict=True):
        called, sure = _vote(points, labels, z, seed)
        codes.append(np.where(own >= 0, own, called))
        confidence.append(np.where(own >= 0, np.nan, sure).astype(np.float32))
    return Transferred(codes, confidence, space, tested, what)


def _held_out(truth: Sequence[Codes], seed: int) -> tuple[list[Codes] | None, str]:
    """Return the part of every cell that is held out together: its section, or a random part."""
    enough = [int((t >= 0).sum()) >= LEAST for t in truth]
    if sum(enough) >= 2:
        return [np.full(len(t), s, dtype=np.int64) for s, t in enumerate(truth)], "each section"
    if sum(enough) == 0:
        return None, ""
    rng = np.random.default_rng([seed, 53])
    parts = [rng.integers(0, PARTS, len(t)) for t in truth]
    return parts, "quarters of the only labelled section"


def _tested(
    points: Sequence[Floats], truth: Sequence[Codes], groups: Sequence[Codes], seed: int
) -> float:
    """Return the share of labelled cells that are called right by cells of other groups."""
    z, labels, group = np.vstack(points), np.concatenate(truth), np.concatenate(groups)
    known = labels >= 0
    right, count = 0, 0
    for g in np.unique(group[known]):
        here, there = known & (group == g), known & (group != g)
        if not here.any() or not there.any():
            continue
        called, _ = _vote(z[there], labels[there], z[here], seed)
        right += int((called == labels[here]).sum())
        count += int(here.sum())
    return right / max(count, 1)


def _vote(points: Floats, labels: Codes, z: Floats, seed: int) -> tuple[Codes, Floats]:
    """Return the commonest label of the nearest cells, and the share of them that have it."""
    if len(points) > MOST:
        rows = np.sort(np.random.default_rng([seed, 59]).choice(len(points), MOST, replace=False))
        points, labels = points[rows], labels[rows]
    k = min(VOTERS, len(points))
    _, near = cKDTree(points).query(z, k)
    votes = labels[near.reshape(len(z), k)]
    count = np.zeros((len(z), int(labels.max()) + 1))
    for column in votes.T:
        count[np.arange(len(z)), column] += 1
    return count.argmax(axis=1).astype(np.int64), np.asarray(count.max(axis=1) / k)
