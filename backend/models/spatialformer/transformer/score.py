"""What a trained transformer says of cells: their embedding, and whether two lie together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

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
    """Return the embedding of each cell, (n, D) float32: CLS of the last block.

    Cells are put into batches by length, so that little is spent on padding.
    """
    ctx = ctx or RunContext()
    model, room = pretrained.model, genes_each(pretrained.model.size.longest)
    out = np.zeros((read.cells.n_cells, model.size.width), np.float32)
    order = np.argsort(read.cells.lengths, kind="stable")
    with torch.no_grad():
        for start in range(0, len(order), CELLS):
            ctx.step(start / len(order), f"Embedding {start:,} of {len(order):,} cells")
            rows = order[start : start + CELLS]
            genes = [read.cells.of(r)[:room] for r in rows]
            one = single_input(genes, [read.meta] * len(rows), model.size.longest)
            tokens, types = torch.from_numpy(one.tokens), torch.from_numpy(one.types)
            out[rows] = cls_alone(model, tokens, types).numpy()
    return out


def encode(pretrained: Pretrained, cells: Sequence[Ids], meta: Ids) -> tuple[First, Second]:
    """Return some cells ready to be paired: as first ones and as second ones.

    Parameters
    ----------
    pretrained : Pretrained
        Of a model whose cells meet in the last block.
    cells : sequence of (k,) int64
        Genes in order of rank.
    meta : (4,) int64
    """
    model, room = pretrained.model, genes_each(pretrained.model.size.longest)
    kept = [c[:room] for c in cells]
    with torch.no_grad():
        sides = []
        for role in (1, 2):
            one = single_input(kept, [meta] * len(kept), model.size.longest, role)
            types = torch.from_numpy(one.types)
            sides.append((before_softmax(model, torch.from_numpy(one.tokens), types), types))
        return as_first(model, *sides[0]), as_second(model, *sides[1])


def together(
    pretrained: Pretrained, a: Sequence[Ids], b: Sequence[Ids], meta: Ids
) -> NDArray[np.float32]:
    """Return the score that each cell of ``a`` lies beside each of ``b``, (n_a, n_b) float32.

    The mean of both orders of the difference of logits, so that the order of two cells never
    matters. (The published rule takes one of the orders at random where both agree, and the
    negative one where they do not.)
    """
    first_a, second_a = encode(pretrained, a, meta)
    first_b, second_b = encode(pretrained, b, meta)
    model = pretrained.model
    there = cross_all(model, first_a, second_b)
    back = cross_all(model, first_b, second_a)
    return 0.5 * (there + back.T)


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
