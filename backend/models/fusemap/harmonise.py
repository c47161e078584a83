"""Harmonised labels: which class of one data set is which class of another.

The vocabulary of every data set is predicted on the cells of every other one that shares the space.
Two classes that name each other are the same; a class whose cells another data set gives one name,
though that name covers more, is part of it; a class that the others give no name agrees with none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Relation = Literal["same", "part of", "no counterpart"]
#: Share of a class that one name must get to be its counterpart, and of the name's own cells that
#: must be given back for the two to be the same.
LEAST_SHARE, LEAST_BACK = 0.5, 0.4


@dataclass(frozen=True, slots=True)
class Overlap:
    """The names that one data set gives the cells of another.

    rows, columns : classes of ``of`` (whose cells they are) and of ``by`` (whose names are given)
    share : (r, c) mean probability of every name over the cells of a class; rows sum to 1
    counts : (r,) cells of every class
    """

    of: str
    by: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    share: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Match:
    """What a class of a data set is in another one.

    score : share of its cells that get the counterpart's name;  back : the same the other way
    """

    dataset: str
    name: str
    cells: int
    other: str
    counterpart: str
    score: float
    back: float
    relation: Relation


@dataclass(frozen=True, slots=True)
class Member:
    """A class with the harmonised class that it is put in, and how it stands to it."""

    dataset: str
    name: str
    cells: int
    harmonised: str
    relation: Relation
    score: float


def overlap(
    of: str,
    by: str,
    truth: tuple[NDArray[np.int64], Sequence[str]],
    said: tuple[NDArray[np.float64], Sequence[str]],
) -> Overlap:
    """Return the names that ``by`` gives to the labelled cells of ``of``.

    Parameters
    ----------
    of, by : str
        Data sets.
    truth : ((n,) codes, names)
        Published classes of the cells, -1 where missing.
    said : ((n, c) probabilities, names)
    """
    codes, names = truth
    total = np.zeros((len(names), said[0].shape[1]))
    have = codes >= 0
    np.add.at(total, codes[have], said[0][have])
    counts = np.bincount(codes[have], minlength=len(names))
    kept = np.flatnonzero(counts).tolist()
    share = total[kept] / counts[kept][:, None]
    rows = tuple(names[k] for k in kept)
    return Overlap(of, by, rows, tuple(said[1]), share, counts[kept])


def matches(forth: Overlap, back: Overlap | None) -> list[Match]:
    """Return what every class of ``forth.of`` is in ``forth.by``.

    Parameters
    ----------
    forth, back : Overlap
        The two directions; without the way back no class is the same as another.
    """
    out = []
    for i, name in enumerate(forth.rows):
        best = int(forth.share[i].argmax())
        other, score = forth.columns[best], float(forth.share[i, best])
        given = _given_back(back, other, name)
        relation: Relation = "no counterpart"
        if score >= LEAST_SHARE:
            relation = "same" if given >= LEAST_BACK else "part of"
        counterpart = other if relation != "no counterpart" else ""
        out.append(
            Match(
                forth.of, name, int(forth.counts[i]), forth.by, counterpart, score, given, relation
            )
        )
    return out


def _given_back(back: Overlap | None, other: str, name: str) -> float:
    """Share of the cells of ``other`` that are given ``name``."""
    if back is None or other not in back.rows or name not in back.columns:
        return 0.0
    return float(back.share[back.rows.index(other), back.columns.index(name)])


def harmonised(found: Sequence[Match]) -> list[Member]:
    """Return every class with the harmonised class that it is put in.

    Classes that are the same as one another make a harmonised class, named by its largest member;
    a class that is only part of others joins the one that gives it the largest share.
    """
    cells = {(m.dataset, m.name): m.cells for m in found}
    group = _groups(found, cells)
    size: dict[tuple[str, str], tuple[int, str]] = {}
    for key, root in group.items():
        size[root] = max(size.get(root, (0, "")), (cells[key], key[1]))
    out = []
    for key, n in cells.items():
        own = [m for m in found if (m.dataset, m.name) == key]
        same = [m for m in own if m.relation == "same"]
        part = [m for m in own if m.relation == "part of" and (m.other, m.counterpart) in cells]
        relation: Relation = "same" if same else "part of" if part else "no counterpart"
        best = max(same or part or own, key=lambda m: m.score)
        root = group[key] if not (part and not same) else group[best.other, best.counterpart]
        out.append(Member(*key, n, size[root][1], relation, best.score))
    return sorted(out, key=lambda m: (m.harmonised, m.relation, m.dataset, m.name))


def _groups(
    found: Sequence[Match], cells: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the representative of every class; classes that are the same have one."""
    parent = {key: key for key in cells}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent[key] != key:
            key = parent[key]
        return key

    # The surest first, and never two classes of one data set in one group.
    held = {key: {key[0]} for key in cells}
    for m in sorted(found, key=lambda m: -m.score * m.back):
        a, b = (m.dataset, m.name), (m.other, m.counterpart)
        if m.relation != "same" or b not in cells:
            continue
        ra, rb = root(a), root(b)
        if ra != rb and not held[ra] & held[rb]:
            parent[rb] = ra
            held[ra] |= held[rb]
    return {key: root(key) for key in cells}
