"""Which cell types are in contact more, or less, often than local chance allows.

Source: FuseMap (He et al. 2024), cell-cell interactions, after Zhang et al., Nature 624, 343
(2023): pairs nearer than 30 um, by region, against 1,000 shifts of the cells within 100 um; z,
Benjamini-Hochberg, fold, more than 50 contacts.

Deviations, each with an option that undoes it: shifted cells go to places that cells occupy
(``null="free"`` is the published disc, whose discoveries on random labels are mostly false); both
tails are tested (``tail="attraction"``). A same-type pair is counted once, not twice. Types are
kept by cells per region only, not by an enrichment that differs between neurons and glia. Animals
are summed as strata and shown beside the sum; a pair on which they disagree is not called.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, ttest_1samp

from backend.analysis.contacts_null import Null, Tally, tally
from backend.analysis.differential import benjamini_hochberg
from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext

Tail = Literal["both", "attraction"]
#: An animal is heard on a pair from this many expected contacts.
LEAST_EXPECTED = 5.0
#: A pair is called where at least this share of the animals heard agree.
LEAST_AGREEMENT = 2 / 3
#: Added to expected contacts before the fold is taken, as published.
FOLD_OFFSET = 1e-4


@dataclass(frozen=True, slots=True)
class ContactParams:
    """What a contact is and what it is held against.

    Parameters
    ----------
    radius_um, reach_um : float
        Distance of a contact; longest shift.
    n_shifts : int
    null : "places" or "free"
        Where shifted cells go, see ``contacts_null.tally``.
    tail : "both" or "attraction"
    least_contacts : int
        More contacts than this, observed or expected, are needed to call a pair.
    least_cells : int
        More cells than this per region are needed to keep a type.
    rate : float
        False discovery rate.
    seed : int
    """

    radius_um: float = 30.0
    reach_um: float = 100.0
    n_shifts: int = 1000
    null: Null = "places"
    tail: Tail = "both"
    least_contacts: int = 50
    least_cells: int = 50
    rate: float = 0.05
    seed: int = 0

    def checked(self) -> ContactParams:
        """Return the same.

        Raises
        ------
        BadRequest
            Naming every value out of its range.
        """
        wrong = [
            f"{name} is {value}, expected {lo:g} to {hi:g}"
            for name, value, lo, hi in (
                ("radius_um", self.radius_um, 1, 1000),
                ("reach_um", self.reach_um, 1, 10_000),
                ("n_shifts", self.n_shifts, 20, 100_000),
                ("least_contacts", self.least_contacts, 0, 1_000_000),
                ("least_cells", self.least_cells, 0, 1_000_000),
                ("rate", self.rate, 0.0001, 0.5),
            )
            if not lo <= value <= hi
        ]
        wrong += [f"null is '{self.null}'"] if self.null not in get_args(Null) else []
        wrong += [f"tail is '{self.tail}'"] if self.tail not in get_args(Tail) else []
        if wrong:
            raise BadRequest(f"Contacts cannot be counted so: {'; '.join(wrong)}.")
        return self


class Patch(NamedTuple):
    """Cells of one region of one section.

    animal : str, what the section is a sample of
    region : str, empty where regions are not told apart
    xy : (n, 2) float, micrometres
    types : (n,) int, codes of the label, -1 where missing
    """

    section: str
    animal: str
    region: str
    xy: NDArray[np.floating[Any]]
    types: NDArray[np.integer[Any]]


class Contact(NamedTuple):
    """One pair of types in one region.

    contacts and expected are pairs of cells (mean over shifts), sd over shifts; fold is observed
    over expected; p is of the normal tail, q Benjamini-Hochberg over the pairs of the region.
    n_animals are those with enough expected contacts, n_agree those on the side of the sum;
    p_animals is of a t test of their log folds, None below three. call is "attraction",
    "avoidance" or "".
    """

    region: str
    a: int
    b: int
    n_a: int
    n_b: int
    contacts: int
    expected: float
    sd: float
    z: float
    p: float
    q: float
    fold: float
    log2_fold: float
    n_animals: int
    n_agree: int
    p_animals: float | None
    call: str


def count_contacts(
    patches: Sequence[Patch], params: ContactParams, ctx: RunContext | None = None
) -> list[Contact]:
    """Return every pair of kept types of every region, regions in order of first sight.

    Parameters
    ----------
    patches : sequence of Patch
        One per section and region.
    params : ContactParams
    ctx : RunContext, optional
        Told of progress; asked whether to stop.

    Raises
    ------
    BadRequest
    TooFewCells
        If no region has two types with enough cells.
    """
    params, ctx = params.checked(), ctx or RunContext()
    regions = list(dict.fromkeys(p.region for p in patches))
    kept = {r: _kept_types([p for p in patches if p.region == r], params) for r in regions}
    regions = [r for r in regions if len(kept[r])]
    if not regions:
        raise TooFewCells(
            f"No type has more than {params.least_cells} cells in a region.",
            "Name more sections, a coarser label or larger regions, or lower the least cells.",
        )
    todo = [p for p in patches if p.region in regions]
    by_region: dict[str, dict[str, list[Tally]]] = {r: {} for r in regions}
    n_all, n_done = sum(len(p.xy) for p in todo) or 1, 0
    for patch in todo:
        part = ctx.part(n_done / n_all, (n_done + len(patch.xy)) / n_all)
        found = _patch_tally(patch, kept[patch.region], params, part)
        by_region[patch.region].setdefault(patch.animal, []).append(found)
        n_done += len(patch.xy)
    out: list[Contact] = []
    for region in regions:
        counts = _cells([p for p in todo if p.region == region], kept[region])
        out += _region(region, kept[region], counts, by_region[region], params)
    return out


def _kept_types(patches: Sequence[Patch], params: ContactParams) -> NDArray[np.int64]:
    codes = np.concatenate([p.types[p.types >= 0] for p in patches])
    return np.flatnonzero(np.bincount(codes) > params.least_cells)


def _cells(patches: Sequence[Patch], kept: NDArray[np.int64]) -> NDArray[np.int64]:
    codes = np.concatenate([p.types[p.types >= 0] for p in patches])
    return np.bincount(codes, minlength=int(kept[-1]) + 1)[kept]


def _patch_tally(
    patch: Patch, kept: NDArray[np.int64], params: ContactParams, ctx: RunContext
) -> Tally:
    """Return the tally of one patch over the kept types."""
    place = np.full(int(max(kept[-1], patch.types.max(initial=-1))) + 2, -1)
    place[kept] = np.arange(len(kept))
    types = place[patch.types]  # a missing type is -1, the last place, which is -1
    here = types >= 0
    return tally(
        patch.xy[here],
        types[here],
        len(kept),
        null=params.null,
        radius_um=params.radius_um,
        reach_um=params.reach_um,
        n_shifts=params.n_shifts,
        seed=_seed(params.seed, patch),
        ctx=ctx,
    )


def _seed(seed: int, patch: Patch) -> int:
    """Return a seed of its own for each patch, whatever else is counted."""
    name = zlib.crc32(f"{patch.section}\n{patch.region}".encode())
    return int(np.random.SeedSequence([seed, name]).generate_state(1, np.uint64)[0])


def _region(
    region: str,
    kept: NDArray[np.int64],
    cells: NDArray[np.int64],
    animals: Mapping[str, Sequence[Tally]],
    params: ContactParams,
) -> list[Contact]:
    """Return the pairs of one region, animals summed as strata."""
    a, b = np.triu_indices(len(kept))
    upper = [[t_of[a, b] for t_of in _summed(tallies)] for tallies in animals.values()]
    observed, expected, variance = (np.sum(part, axis=0) for part in zip(*upper, strict=True))
    sd = np.sqrt(variance)
    z = (observed - expected) / np.maximum(sd, np.sqrt(1 / params.n_shifts))
    p = norm.sf(z) if params.tail == "attraction" else 2 * norm.sf(np.abs(z))
    q = benjamini_hochberg(p)
    heard = np.array([m >= LEAST_EXPECTED for _, m, _ in upper])
    folds = np.array([np.log2((o + 0.5) / (m + 0.5)) for o, m, _ in upper])
    agree = heard & (np.sign(folds) == np.sign(observed - expected))
    n_animals, n_agree = heard.sum(axis=0), agree.sum(axis=0)
    enough = np.maximum(observed, expected) > params.least_contacts
    called = (q < params.rate) & enough & (n_agree >= LEAST_AGREEMENT * n_animals)
    side = np.where(observed > expected, "attraction", "avoidance")
    fold = observed / (expected + FOLD_OFFSET)
    log2_fold = np.log2((observed + 0.5) / (expected + 0.5))
    return [
        Contact(
            region,
            int(kept[a[i]]),
            int(kept[b[i]]),
            int(cells[a[i]]),
            int(cells[b[i]]),
            int(observed[i]),
            float(expected[i]),
            float(sd[i]),
            float(z[i]),
            float(p[i]),
            float(q[i]),
            float(fold[i]),
            float(log2_fold[i]),
            int(n_animals[i]),
            int(n_agree[i]),
            _over_animals(folds[heard[:, i], i]),
            str(side[i]) if called[i] else "",
        )
        for i in range(len(a))
    ]


def _summed(tallies: Iterable[Tally]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return observed, expected and variance of the sections of one animal together."""
    parts = [(t.observed, t.mean, t.variance) for t in tallies]
    observed, expected, variance = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    return observed, expected, variance


def _over_animals(folds: NDArray[np.float64]) -> float | None:
    """Return the p of log folds of animals against zero, None below three or without spread."""
    if len(folds) < 3 or folds.std() == 0:
        return None
    return float(ttest_1samp(folds, 0.0).pvalue)


def as_record(contact: Contact, names: Sequence[str]) -> dict[str, Any]:
    """Return one pair as JSON has it, with the names of its types."""
    return {**contact._asdict(), "name_a": names[contact.a], "name_b": names[contact.b]}


def params_record(params: ContactParams) -> dict[str, Any]:
    """Return the parameters as JSON has them."""
    return asdict(params)
