"""What a trained transformer says of cells: their embedding, and whether two lie together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from backend.core.job import RunContext
from backend.models.spatialformer.transformer.crossing import (
    First,
    Second,
    as_first,
    as_second,
    before_softmax,
    cls_alone,
    cross_all,
)
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.match import Match
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.tokens import (
    Ids,
    Ranked,
    genes_each,
    pair_input,
    ranked,
    single_input,
)

#: Cells, and pairs, of one forward.
CELLS, PAIRS = 32, 32
#: Pairs of pooled cells that are compared at once.
MATCHED = 16384
#: Threads that embed cells at the same time, at most.
MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class Read:
    """Cells as tokens, and what has to be said of how they were read.

    cells : Ranked
    meta : (4,) int64
    unknown : tuple of str
        Genes that the model does not know; they are left out.
    notes : tuple of str
    """

    cells: Ranked
    meta: Ids
    unknown: tuple[str, ...]
    notes: tuple[str, ...]


def read_cells(
    pretrained: Pretrained, counts: csr_matrix, genes: Sequence[str], meta: dict[str, str]
) -> Read:
    """Return cells as the model reads them.

    Parameters
    ----------
    pretrained : Pretrained
    counts : (n, g) csr_matrix
    genes : sequence of g str
    meta : dict
        ``condition``, ``tissue``, ``species``, ``assay``, as far as known.

    Raises
    ------
    NoSharedGenes
        If no gene is in the vocabulary.
    """
    vocabulary = pretrained.vocabulary
    cells = ranked(counts, vocabulary.gene_ids(genes), pretrained.medians)
    unknown = vocabulary.unknown(genes)
    notes = [_unknown_said(unknown, len(genes)), _cut_said(pretrained.model, cells)]
    empty = int((cells.lengths == 0).sum())
    if empty:
        notes.append(f"{empty:,} cells have none of the known genes: their embedding says nothing.")
    return Read(cells, vocabulary.meta_ids(meta), unknown, tuple(n for n in notes if n))


def _unknown_said(unknown: Sequence[str], n: int) -> str:
    if not unknown:
        return ""
    shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
    return f"{len(unknown):,} of {n:,} genes are not in the vocabulary and were left out: {shown}."


def _cut_said(model: Former, cells: Ranked) -> str:
    room = genes_each(model.size.longest)
    cut = int((cells.lengths > room).sum())
    if not cut:
        return ""
    return (
        f"{cut:,} of {cells.n_cells:,} cells have more than the {room} genes that fit; "
        "their lowest ranks were cut."
    )


def embed_cells(
    pretrained: Pretrained, read: Read, ctx: RunContext | None = None
) -> NDArray[np.float32]:
    """Return the embedding of each cell, (n, D) float32: pooled genes, or CLS without a match.

    Cells are put into batches by length, so that nothing is spent on padding; batches are shared
    among the processors, each with one thread of torch, and do not depend on how many there are.
    """
    ctx = ctx or RunContext()
    model, room = pretrained.model, genes_each(pretrained.model.size.longest)
    out = np.zeros((read.cells.n_cells, model.size.width), np.float32)

    def embedded(rows: Ids) -> NDArray[np.float32]:
        return state_of(model, [read.cells.of(r)[:room] for r in rows], read.meta).numpy()

    batches = _alike(np.minimum(read.cells.lengths, room))
    with ThreadPoolExecutor(n_threads()) as threads:
        done = 0
        for rows, found in zip(batches, threads.map(embedded, batches), strict=True):
            ctx.step(done / len(out), f"Embedding {done:,} of {len(out):,} cells")
            out[rows] = found
            done += len(rows)
    return out


def n_threads() -> int:
    """Return how many threads may encode cells at the same time, each by itself."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def state_of(model: Former, cells: Sequence[Ids], meta: Ids) -> Tensor:
    """Return what stands for each cell, (n, D): pooled genes where they are matched, else CLS."""
    one = single_input(cells, [meta] * len(cells), model.size.longest)
    tokens, types = torch.from_numpy(one.tokens), torch.from_numpy(one.types)
    with torch.no_grad():
        return (
            cls_alone(model, tokens, types) if model.match is None else model.pooled(tokens, types)
        )


def _alike(lengths: Ids) -> list[Ids]:
    """Return rows in batches of cells that are equally long, or nearly where those are few."""
    order = np.argsort(lengths, kind="stable")
    ends = np.flatnonzero(np.diff(lengths[order])) + 1
    cuts, start = [], 0
    for end in [*ends.tolist(), len(order)]:
        if end - start >= CELLS // 2 or end == len(order):
            cuts += list(range(start, end, CELLS))
            start = end
    return [rows for rows in np.split(order, cuts) if len(rows)]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Cells ready to be paired: pooled where they are matched, else as first and as second ones."""

    pooled: Tensor | None
    sides: tuple[First, Second] | None

    @property
    def count(self) -> int:
        """Number of cells."""
        if self.pooled is not None:
            return len(self.pooled)
        assert self.sides is not None
        return len(self.sides[0].cls)


def encoded(pretrained: Pretrained, cells: Sequence[Ids], meta: Ids) -> Encoded:
    """Return some cells ready to be paired.

    Parameters
    ----------
    pretrained : Pretrained
        Of a model with a match, or whose cells meet in the last block.
    cells : sequence of (k,) int64
        Genes in order of rank.
    meta : (4,) int64
    """
    model, room = pretrained.model, genes_each(pretrained.model.size.longest)
    kept = [c[:room] for c in cells]
    if model.match is not None:
        return Encoded(state_of(model, kept, meta), None)
    with torch.no_grad():
        sides = []
        for role in (1, 2):
            one = single_input(kept, [meta] * len(kept), model.size.longest, role)
            types = torch.from_numpy(one.types)
            sides.append((before_softmax(model, torch.from_numpy(one.tokens), types), types))
        return Encoded(None, (as_first(model, *sides[0]), as_second(model, *sides[1])))


def cross_scores(pretrained: Pretrained, a: Encoded, b: Encoded) -> NDArray[np.float32]:
    """Return the score of each cell of ``a`` with each of ``b``, (n_a, n_b) float32."""
    model = pretrained.model
    if model.match is not None:
        assert a.pooled is not None
        assert b.pooled is not None
        return matched(model.match, a.pooled, b.pooled)
    assert a.sides is not None
    assert b.sides is not None
    there = cross_all(model, a.sides[0], b.sides[1])
    back = cross_all(model, b.sides[0], a.sides[1])
    return 0.5 * (there + back.T)


def together(
    pretrained: Pretrained, a: Sequence[Ids], b: Sequence[Ids], meta: Ids
) -> NDArray[np.float32]:
    """Return the score that each cell of ``a`` lies beside each of ``b``, (n_a, n_b) float32.

    Where CLS tells pairs, the mean of both orders of the difference of logits, so that the order of
    two cells never matters. (The published rule takes one of the orders at random where both agree,
    and the negative one where they do not.)
    """
    return cross_scores(pretrained, encoded(pretrained, a, meta), encoded(pretrained, b, meta))


def matched(match: Match, one: Tensor, two: Tensor) -> NDArray[np.float32]:
    """Return scores of all first with all second pooled cells, (n_one, n_two) float32."""
    step = max(MATCHED // max(len(two), 1), 1)
    with torch.no_grad():
        parts = [match(one[i : i + step, None], two[None]) for i in range(0, len(one), step)]
    return torch.cat(parts).numpy().astype(np.float32)


def pair_scores(
    model: Former, a: Sequence[Ids], b: Sequence[Ids], meta: Ids
) -> tuple[NDArray[np.float32], int]:
    """Return the score of each pair (a_i, b_i) by whole forwards, (m,), for a model of any kind.

    Returns
    -------
    (m,) float32, int
        Mean over both orders of the difference of logits; and how many cells were cut.
    """
    out, cut = np.zeros(len(a), np.float32), 0
    if model.match is not None:
        room = genes_each(model.size.longest)
        pooled = [state_of(model, [c[:room] for c in cells], meta) for cells in (a, b)]
        with torch.no_grad():
            return model.match(*pooled).numpy(), sum(len(c) > room for c in (*a, *b))
    with torch.no_grad():
        for start in range(0, len(a), PAIRS):
            part = slice(start, start + PAIRS)
            for one, two in ((a[part], b[part]), (b[part], a[part])):
                about = [meta] * len(one)
                given = pair_input(one, two, about, about, model.size.longest)
                logits = model.pair_logits(
                    torch.from_numpy(given.tokens), torch.from_numpy(given.types)
                )
                out[part] += 0.5 * (logits[:, 1] - logits[:, 0]).numpy()
                cut += given.cut
    return out, cut // 2
