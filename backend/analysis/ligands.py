"""Whether cells of two types that touch express a ligand and its receptor more than others do.

Source: FuseMap (He et al. 2024), after Zhang et al., Nature 624, 343 (2023): ligand-receptor
scores of pairs of cells nearer than 30 um against others, Welch's t, Benjamini-Hochberg.

Deviations: a cell, not a pair of cells, is what is counted: each cell of the sending type has one
score with the mean of those it touches, so that a cell with ten neighbours is not ten samples. A
cell that touches none is held against the nearest cell of the other type that touches none, so
that both groups are compared within the same stretch of tissue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from scipy.spatial import cKDTree
from scipy.stats import ttest_ind_from_stats

from backend.analysis.differential import benjamini_hochberg
from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext

Complex = Literal["geometric", "min"]
#: Values of genes (cells of both types, places of genes) -> (n, g), zero or above.
Values = Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]]
#: Pairs whose values are in memory at once.
BLOCK = 64
SPREAD_FLOOR = 1e-9


@dataclass(frozen=True, slots=True)
class LigandParams:
    """What is tested.

    Parameters
    ----------
    radius_um : float
        Two cells nearer than this touch.
    complexes : "geometric" or "min"
        Of several subunits: their geometric mean, as CellChat has it, or the least of them, as
        CellPhoneDB has it.
    rate : float
        False discovery rate.
    least_cells : int
        Cells of the sending type needed in each of the two groups.
    seed : int
    """

    radius_um: float = 30.0
    complexes: Complex = "geometric"
    rate: float = 0.01
    least_cells: int = 20
    seed: int = 0

    def checked(self) -> LigandParams:
        """Return the same.

        Raises
        ------
        BadRequest
        """
        wrong = []
        if not 1 <= self.radius_um <= 1000:
            wrong.append(f"radius_um is {self.radius_um}, expected 1 to 1000")
        if self.complexes not in get_args(Complex):
            wrong.append(f"complexes is '{self.complexes}', expected geometric or min")
        if not 0.0001 <= self.rate <= 0.5:
            wrong.append(f"rate is {self.rate}, expected 0.0001 to 0.5")
        if self.least_cells < 3:
            wrong.append(f"least_cells is {self.least_cells}, expected 3 or more")
        if wrong:
            raise BadRequest(f"Pairs cannot be tested so: {'; '.join(wrong)}.")
        return self


class Meeting(NamedTuple):
    """Who of the sending type a meets whom of the receiving type b; rows count all cells.

    touching, apart : (k,) int, rows of senders
    with_touching, with_apart : (k, n) csr_matrix that averages over those they are held with
    """

    touching: NDArray[np.int64]
    with_touching: csr_matrix
    apart: NDArray[np.int64]
    with_apart: csr_matrix


def meet(
    patches: Sequence[tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]]]],
    a: int,
    b: int,
    radius_um: float,
) -> Meeting:
    """Return who meets whom over patches of (xy, types), rows counted through all patches."""
    n = sum(len(types) for _, types in patches)
    first, parts = 0, []
    for xy, types in patches:
        parts.append(_meet_one(np.asarray(xy, np.float64), types, a, b, radius_um, first, n))
        first += len(types)
    if not parts:
        raise TooFewCells("There are no cells to test.", "Name sections that have both types.")
    return Meeting(
        np.concatenate([p.touching for p in parts]),
        csr_matrix(vstack([p.with_touching for p in parts])),
        np.concatenate([p.apart for p in parts]),
        csr_matrix(vstack([p.with_apart for p in parts])),
    )


def _meet_one(
    xy: NDArray[np.float64],
    types: NDArray[np.integer[Any]],
    a: int,
    b: int,
    radius_um: float,
    first: int,
    n: int,
) -> Meeting:
    senders, receivers = np.flatnonzero(types == a), np.flatnonzero(types == b)
    none = csr_matrix((0, n))
    if not len(senders) or not len(receivers):
        empty = np.empty(0, np.int64)
        return Meeting(empty, none, empty, none)
    tree = cKDTree(xy[receivers])
    near = [
        [k for k in found if receivers[k] != i]
        for i, found in zip(senders, tree.query_ball_point(xy[senders], radius_um), strict=True)
    ]
    touched = np.zeros(len(receivers), bool)
    for found in near:
        touched[found] = True
    does = np.array([bool(found) for found in near])
    some = [receivers[found] + first for found in near if found]
    lonely, free = senders[~does], receivers[~touched]
    partner = _nearest_other(xy, lonely, free)
    kept = partner >= 0
    return Meeting(
        senders[does] + first,
        _averaging(some, n),
        lonely[kept] + first,
        _averaging([np.array([p + first]) for p in partner[kept]], n),
    )


def _nearest_other(
    xy: NDArray[np.float64], lonely: NDArray[np.int64], free: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the nearest of ``free`` to each of ``lonely``, not itself; -1 where there is none."""
    out = np.full(len(lonely), -1, np.int64)
    if not len(lonely) or not len(free):
        return out
    k = min(2, len(free))
    _, found = cKDTree(xy[free]).query(xy[lonely], k=k)
    nearest = free[found.reshape(len(lonely), k)]
    other = nearest != lonely[:, None]
    has = other.any(axis=1)
    out[has] = nearest[has, other.argmax(axis=1)[has]]
    return out


def _averaging(rows: Sequence[NDArray[np.int64]], n: int) -> csr_matrix:
    """Return a matrix whose line i averages over the cells ``rows[i]``."""
    sizes = np.array([len(r) for r in rows], np.int64)
    pointer = np.concatenate([[0], np.cumsum(sizes)])
    flat = np.concatenate(rows) if rows else np.empty(0, np.int64)
    return csr_matrix((np.repeat(1 / np.maximum(sizes, 1), sizes), flat, pointer), (len(rows), n))


class LigandTest(NamedTuple):
    """One ligand and receptor, sent by the cells of type a to those of type b.

    place : place in the list of pairs; mean_touching, mean_apart : of the score, the square root
    of ligand times receptor; effect : Cohen's d; ligand_a, ligand_b, receptor_a, receptor_b :
    mean of each over all cells of the types, which tell whether either may have spilled over.
    """

    place: int
    n_touching: int
    n_apart: int
    mean_touching: float
    mean_apart: float
    effect: float
    t: float
    p: float
    ligand_a: float
    ligand_b: float
    receptor_a: float
    receptor_b: float

    @property
    def may_be_spill(self) -> bool:
        """Whether the receiver has more of the ligand, or the sender more of the receptor."""
        return self.ligand_b > self.ligand_a or self.receptor_a > self.receptor_b


def compare_pairs(
    meeting: Meeting,
    is_a: NDArray[np.bool_],
    is_b: NDArray[np.bool_],
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    values: Values,
    params: LigandParams,
    ctx: RunContext | None = None,
) -> list[LigandTest]:
    """Return the test of each pair of (ligand genes, receptor genes).

    Parameters
    ----------
    meeting : Meeting
    is_a, is_b : (n,) bool
        Cells of the two types.
    pairs : sequence of (places of ligand genes, places of receptor genes)
    values : Values
    params : LigandParams
    ctx : RunContext, optional

    Raises
    ------
    TooFewCells
        If either group has fewer cells than asked for.
    """
    ctx = ctx or RunContext()
    n_touching, n_apart = len(meeting.touching), len(meeting.apart)
    if min(n_touching, n_apart) < params.least_cells:
        raise TooFewCells(
            f"{n_touching} cells touch the other type and {n_apart} do not; {params.least_cells} "
            "are needed of both.",
            "Name more sections, or a larger region.",
        )
    out: list[LigandTest] = []
    for start in range(0, len(pairs), BLOCK):
        ctx.step(start / len(pairs), "Testing ligands and receptors")
        block = pairs[start : start + BLOCK]
        genes = np.unique([g for ligand, receptor in block for g in (*ligand, *receptor)])
        table = np.asarray(values(genes), np.float64)
        for k, (ligand, receptor) in enumerate(block):
            sent = combined(table[:, np.searchsorted(genes, ligand)], params.complexes)
            got = combined(table[:, np.searchsorted(genes, receptor)], params.complexes)
            out.append(_test_one(start + k, meeting, sent, got, is_a, is_b))
    return out


def combined(subunits: NDArray[np.float64], how: Complex) -> NDArray[np.float64]:
    """Return one value per cell of the subunits (n, s) of a complex."""
    if subunits.shape[1] == 1 or how == "min":
        return np.asarray(subunits.min(axis=1))
    return np.asarray(np.prod(subunits ** (1 / subunits.shape[1]), axis=1))


def _test_one(
    place: int,
    meeting: Meeting,
    sent: NDArray[np.float64],
    got: NDArray[np.float64],
    is_a: NDArray[np.bool_],
    is_b: NDArray[np.bool_],
) -> LigandTest:
    touching = np.sqrt(sent[meeting.touching] * (meeting.with_touching @ got))
    apart = np.sqrt(sent[meeting.apart] * (meeting.with_apart @ got))
    sd = [max(float(x.std(ddof=1)), SPREAD_FLOOR) for x in (touching, apart)]
    means = [float(x.mean()) for x in (touching, apart)]
    test = ttest_ind_from_stats(
        means[0], sd[0], len(touching), means[1], sd[1], len(apart), equal_var=False
    )
    same = max(sd) <= SPREAD_FLOOR
    return LigandTest(
        place,
        len(touching),
        len(apart),
        means[0],
        means[1],
        0.0 if same else (means[0] - means[1]) / float(np.sqrt((sd[0] ** 2 + sd[1] ** 2) / 2)),
        0.0 if same else float(test.statistic),
        1.0 if same else float(test.pvalue),
        float(sent[is_a].mean()),
        float(sent[is_b].mean()),
        float(got[is_a].mean()),
        float(got[is_b].mean()),
    )


def adjusted(p: Sequence[float]) -> NDArray[np.float64]:
    """Return Benjamini-Hochberg q of tests that belong together."""
    return benjamini_hochberg(np.array(p, np.float64))


def ligand_params_record(params: LigandParams) -> dict[str, Any]:
    """Return the parameters as JSON has them."""
    return asdict(params)
