"""Forward perturbation: which gene pairs a trained transformer needs to tell cells that touch.

For cells a and b that touch, gene g is removed from a and gene h from b and the pair is scored
again; what the pair loses beyond both genes by themselves is the second difference
d_gh(a, b) = s(-g, -h) - s(-g) - s(-h) + s. Its sum over contacts is compared with the same sum
after the contacting cells of the first type were exchanged within blocks: d is a function of both
profiles and never zero by itself, so a test against zero (as published) calls nearly every pair.

Every cell is shortened and encoded once, whatever the number of its contacts and of exchanges.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import false_discovery_control

from backend.core.errors import TooFewCells
from backend.core.job import RunContext
from backend.models.spatialformer.measures import auc
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.perturb import (
    Shortened,
    cross_shortened,
    shorten,
)
from backend.models.spatialformer.transformer.score import Read, n_threads
from backend.models.spatialformer.type_contacts import Contacts

#: Contacts that are scored, exchanges of them, and contacts that must show both genes.
CONTACTS, EXCHANGES, LEAST_SUPPORT = 120, 60, 20
#: Below this AUC on the contacts of a section the score does not tell them from other cells.
TRUSTED = 0.55

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Forward:
    """Gene pairs by the transformer.

    Parameters
    ----------
    genes_a, genes_b : (p,), (q,) int64
        Tokens.
    effect, both : (p, q) float64
        Mean over contacts of the second difference, and of the change by removing both genes.
    support : (p, q) int64
        Contacts that show both genes.
    z, p, q : (p, q) float64
        Against exchanges; nan where support is too small. ``q`` adjusts over all that were tested.
    auc : float
        Of the score on contacts against cells of the same two types 80-150 um apart, here.
    contacts, cells : int
        That were scored.
    seconds : float
    """

    genes_a: Ids
    genes_b: Ids
    effect: NDArray[np.float64]
    both: NDArray[np.float64]
    support: Ids
    z: NDArray[np.float64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]
    auc: float
    contacts: int
    cells: int
    seconds: float

    @property
    def trusted(self) -> bool:
        """Whether the score tells contacts of these types at all."""
        return self.auc >= TRUSTED


def forward_tests(
    pretrained: Pretrained, read: Read, contacts: Contacts, ctx: RunContext
) -> Forward:
    """Return the forward perturbation of two types that touch.

    Parameters
    ----------
    pretrained : Pretrained
    read : Read
        All cells of the section.
    contacts : Contacts
    ctx : RunContext

    Raises
    ------
    TooFewCells
        If no gene pair is shown by enough of the contacts.
    """
    started = time.perf_counter()
    random = np.random.default_rng(ctx.seed)
    ends = _drawn(contacts, random)
    used = np.unique(ends[:, 0]), np.unique(ends[:, 1])
    rows = np.concatenate([contacts.a[used[0]], contacts.b[used[1]]])
    cells = _shorten_all(pretrained, read, np.unique(rows), ctx.part(0.0, 0.6))
    sums = _Sums(pretrained, cells, contacts, EXCHANGES)
    uses = _uses(ends, contacts.block, random)
    for i, (pair, times) in enumerate(uses.items()):
        if i % 50 == 0:
            ctx.step(0.6 + 0.4 * i / len(uses), f"Scoring pairs of cells {i:,} of {len(uses):,}")
        sums.add(pair, times)
    tells = auc(sums.scores(ends), sums.scores(_apart(contacts, used, random)))
    return sums.tested(tells, len(ends), len(cells), time.perf_counter() - started)


class _Sums:
    """Second differences summed over the contacts as they are and after each exchange."""

    def __init__(
        self, pretrained: Pretrained, cells: dict[int, Shortened], contacts: Contacts, n: int
    ) -> None:
        self._pretrained, self._cells, self._contacts = pretrained, cells, contacts
        self._genes = np.unique(np.concatenate([c.genes for c in cells.values()]))
        g = len(self._genes)
        self._total = np.zeros((n + 1, g, g), np.float32)
        self._both = np.zeros((g, g))
        self._support = np.zeros((g, g), np.int64)

    def add(self, pair: tuple[int, int], times: Counter[int]) -> None:
        """Add a pair of cells to every exchange in which it touches; exchange 0 is the truth."""
        a, b = self._cell(pair)
        found = cross_shortened(self._pretrained, a, b)
        at = np.ix_(np.searchsorted(self._genes, a.genes), np.searchsorted(self._genes, b.genes))
        second = found.pair
        for exchange, count in times.items():
            self._total[exchange][at] += count * second
        if times[0]:
            self._both[at] += times[0] * found.both
            self._support[at] += times[0]

    def scores(self, ends: Ids) -> NDArray[np.float64]:
        """Return the score of pairs of whole cells, (m,)."""
        found = (cross_shortened(self._pretrained, *self._cell((a, b))) for a, b in ends.tolist())
        return np.array([f.whole for f in found], dtype=np.float64)

    def _cell(self, pair: tuple[int, int]) -> tuple[Shortened, Shortened]:
        rows = int(self._contacts.a[pair[0]]), int(self._contacts.b[pair[1]])
        return self._cells[rows[0]], self._cells[rows[1]]

    def tested(self, tells: float, n_contacts: int, n_cells: int, seconds: float) -> Forward:
        """Return what the exchanges say, of the genes that some tested pair has."""
        able = self._support >= LEAST_SUPPORT
        if not able.any():
            raise TooFewCells(
                f"No gene pair is shown by {LEAST_SUPPORT} of {n_contacts:,} contacts.",
                "Choose types with more contacts, or a section with more counts per cell.",
            )
        rows, columns = np.flatnonzero(able.any(axis=1)), np.flatnonzero(able.any(axis=0))
        at = np.ix_(rows, columns)
        truth, exchanged = self._total[0][at], self._total[1:, rows][:, :, columns]
        spread = exchanged.std(axis=0, ddof=1)
        tested = able[at] & (spread > 1e-9)
        z = np.full(tested.shape, np.nan)
        z[tested] = ((truth - exchanged.mean(axis=0))[tested] / spread[tested]).astype(np.float64)
        p = np.full(tested.shape, np.nan)
        p[tested] = np.maximum(2 * ndtr(-np.abs(z[tested])), 1e-300)
        q = np.full(tested.shape, np.nan)
        if tested.any():
            q[tested] = false_discovery_control(p[tested])
        shown = np.maximum(self._support[at], 1)
        return Forward(
            self._genes[rows], self._genes[columns], truth / shown, self._both[at] / shown,
            self._support[at], z, p, q, tells, n_contacts, n_cells, seconds,
        )  # fmt: skip


def _drawn(contacts: Contacts, random: np.random.Generator) -> Ids:
    """Return at most ``CONTACTS`` contacts as places (of A, of B), ascending."""
    near = contacts.near.tocoo()
    every = np.column_stack([near.row, near.col]).astype(np.int64)
    return every[np.sort(random.permutation(len(every))[:CONTACTS])]


def _apart(contacts: Contacts, used: tuple[Ids, Ids], random: np.random.Generator) -> Ids:
    """Return as many pairs of used cells that lie 80-150 um apart."""
    far = contacts.control[used[0]][:, used[1]].tocoo()
    every = np.column_stack([used[0][far.row], used[1][far.col]]).astype(np.int64)
    return every[random.permutation(len(every))[:CONTACTS]]


def _uses(
    ends: Ids, block: Ids, random: np.random.Generator
) -> dict[tuple[int, int], Counter[int]]:
    """Return in which exchanges each pair of cells touches, and how often; 0 is the truth."""
    cells = np.unique(ends[:, 0])
    uses: dict[tuple[int, int], Counter[int]] = {}
    for exchange in range(EXCHANGES + 1):
        now = cells if not exchange else _exchanged(cells, block[cells], random)
        first = now[np.searchsorted(cells, ends[:, 0])]
        for a, b in zip(first.tolist(), ends[:, 1].tolist(), strict=True):
            uses.setdefault((a, b), Counter())[exchange] += 1
    return uses


def _exchanged(cells: Ids, block: Ids, random: np.random.Generator) -> Ids:
    """Return the cells with those of each block exchanged."""
    out = cells.copy()
    for own in np.unique(block):
        at = np.flatnonzero(block == own)
        out[at] = cells[random.permutation(at)]
    return out


def _shorten_all(
    pretrained: Pretrained, read: Read, rows: Ids, ctx: RunContext
) -> dict[int, Shortened]:
    """Return every cell without each of its genes in turn, encoded."""

    def one(row: int) -> Shortened:
        return shorten(pretrained, read.cells.of(row), read.meta)

    out: dict[int, Shortened] = {}
    with ThreadPoolExecutor(n_threads()) as threads:
        for row, found in zip(rows.tolist(), threads.map(one, rows.tolist()), strict=True):
            ctx.step(len(out) / len(rows), f"Removing genes of cell {len(out):,} of {len(rows):,}")
            out[row] = found
    return out
