"""Batches: windows of cells as tokens, some of them hidden, with what is to be told of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.models.spatialformer.transformer.corpus import Corpus, Lesson
from backend.models.spatialformer.transformer.masking import masked
from backend.models.spatialformer.transformer.tokens import (
    LEAD,
    Ids,
    Sequences,
    genes_each,
    single_input,
)
from backend.models.spatialformer.transformer.windows import draw_window, pair_targets

#: Share of the genes of a cell that are left out, so that no rank is always there.
DROPPED = 0.15
#: Cells beyond which a section is not drawn more often.
LARGE = 5000


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of one step.

    Parameters
    ----------
    first : (tokens, types) of (n, t)
        Cells as first ones, some tokens hidden.
    second : (tokens, types) of (m, t)
        Some of the cells of each window as second ones, some tokens hidden.
    told : (n, t) bool, and truth : (n, t)
        Hidden positions of ``first``, and the tokens that were there.
    windows : list of (slice, slice)
        Rows of each window in ``first`` and in ``second``.
    near, weight : list of (k, l)
        Of each window, as ``pair_targets`` gives them, for second cells.
    all_near, all_weight : list of (k, k)
        The same for all cells of each window.
    together, block : (m, t, t) bool
        Co-occurrence of the cells ``seen`` (m,), which may be none.
    """

    first: tuple[Tensor, Tensor]
    second: tuple[Tensor, Tensor]
    told: Tensor
    truth: Tensor
    windows: list[tuple[slice, slice]]
    near: list[Tensor]
    weight: list[Tensor]
    all_near: list[Tensor]
    all_weight: list[Tensor]
    seen: Tensor
    together: Tensor
    block: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        if device.type == "cpu":
            return self
        first, second = (
            (tokens.to(device), types.to(device)) for tokens, types in (self.first, self.second)
        )
        near, weight, all_near, all_weight = (
            [x.to(device) for x in windows]
            for windows in (self.near, self.weight, self.all_near, self.all_weight)
        )
        told, truth, seen, together, block = (
            x.to(device) for x in (self.told, self.truth, self.seen, self.together, self.block)
        )
        return Batch(
            first, second, told, truth, self.windows, near, weight, all_near, all_weight, seen,
            together, block,
        )  # fmt: skip


def draw_batch(
    corpus: Corpus,
    shape: tuple[int, int, int],
    longest: int,
    random: np.random.Generator,
    hard: float = 0.5,
) -> Batch:
    """Return windows of sections drawn with a chance of the root of their size.

    Parameters
    ----------
    corpus : Corpus
    shape : (int, int, int)
        Windows, cells of a window, and how many of those stand second too.
    longest : int
        Tokens of a pair, at most.
    random : numpy Generator
    hard : float
        Share of hard ones in the weight of negatives.
    """
    share = np.sqrt([min(lesson.cells.n_cells, LARGE) for lesson in corpus.lessons])
    drawn = random.choice(len(share), shape[0], p=share / share.sum())
    genes: list[Ids] = []
    meta: list[Ids] = []
    owners: list[tuple[Lesson, int]] = []
    slices, some, every = [], [], []
    again: list[int] = []
    for lesson in (corpus.lessons[i] for i in drawn):
        rows = draw_window(lesson.places, shape[1], random)
        twice = np.sort(random.permutation(len(rows))[: shape[2]])
        slices.append((_next(len(genes), len(rows)), _next(len(again), len(twice))))
        again += list(len(genes) + twice)
        genes += [_thinned(lesson.cells.of(r), random)[: genes_each(longest)] for r in rows]
        meta += [lesson.meta] * len(rows)
        owners += [(lesson, int(r)) for r in rows]
        some.append(_told_pairs(lesson, rows, twice, hard))
        every.append(_told_pairs(lesson, rows, np.arange(len(rows)), hard))
    one = single_input(genes, meta, longest)
    two = single_input([genes[i] for i in again], [meta[i] for i in again], longest, role=2)
    size = (corpus.vocabulary.first_gene, len(corpus.vocabulary))
    hidden, told = masked(one.tokens, *size, random)
    other, _ = masked(two.tokens, *size, random)
    seen, together, block = _co_targets(one, owners)
    return Batch(
        _tensors(hidden, one.types), _tensors(other, two.types), torch.from_numpy(told),
        torch.from_numpy(one.tokens), slices, [n for n, _ in some], [w for _, w in some],
        [n for n, _ in every], [w for _, w in every], seen, together, block,
    )  # fmt: skip


def _told_pairs(lesson: Lesson, rows: Ids, second: Ids, hard: float) -> tuple[Tensor, Tensor]:
    near, weight = pair_targets(lesson.places.xy[rows], second, hard)
    return torch.from_numpy(near), torch.from_numpy(weight)


def _next(start: int, count: int) -> slice:
    return slice(start, start + count)


def _thinned(genes: Ids, random: np.random.Generator) -> Ids:
    return genes[random.random(len(genes)) >= DROPPED]


def _tensors(tokens: Ids, types: Ids) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(tokens), torch.from_numpy(types)


def _co_targets(one: Sequences, owners: list[tuple[Lesson, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows with transcripts, their co-occurrence, and the entries that count."""
    rows = [i for i, (lesson, cell) in enumerate(owners) if lesson.seen[cell]]
    t = one.tokens.shape[1]
    together = np.zeros((len(rows), t, t), np.bool_)
    block = np.zeros((len(rows), t, t), np.bool_)
    for k, i in enumerate(rows):
        length = int((one.types[i] > 0).sum())
        genes = slice(LEAD, length - 1)
        block[k, genes, genes] = ~np.eye(length - 1 - LEAD, dtype=np.bool_)
        together[k, genes, genes] = co_matrix(one.tokens[i, genes], *owners[i])
    return torch.tensor(rows, dtype=torch.long), torch.from_numpy(together), torch.from_numpy(block)


def co_matrix(tokens: Ids, lesson: Lesson, cell: int) -> np.ndarray:
    """Return which of some tokens co-occur in a cell, (k, k) bool, symmetric, diagonal false."""
    start, end = np.searchsorted(lesson.together[:, 0], [cell, cell + 1])
    pairs = lesson.together[start:end, 1:]
    order = np.argsort(tokens)
    at = np.searchsorted(tokens[order], pairs)
    found = np.zeros((len(tokens), len(tokens)), np.bool_)
    if len(tokens) == 0 or len(pairs) == 0:
        return found
    at = order[np.minimum(at, len(tokens) - 1)]
    both = (tokens[at] == pairs).all(axis=1)
    found[at[both, 0], at[both, 1]] = True
    return found | found.T
