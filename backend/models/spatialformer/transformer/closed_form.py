"""Where a training begins: gene embeddings that tell neighbours at once, in closed form.

With x the fading shares of the genes among the ranks of a cell (as ``match.py`` weighs them),
centred per section, and genes put on one scale, the directions u that part neighbours from cells
80-150 um away solve

    (E[x_a x_b' | near] - 0.5 E[x_a x_b' | far]) u = w (E[x x'] + ridge I) u,

each section weighing as much. The embedding of a gene is its row of sqrt(w) u: the mean over the
genes of a cell is then the projection, and pooled cells match as in the closed-form bilinear form.
Blocks begin near the identity, so that they do not hide this.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_matrix

from backend.models.spatialformer.transformer.blocks import Residual
from backend.models.spatialformer.transformer.corpus import Corpus, Lesson
from backend.models.spatialformer.transformer.match import FADED
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.tokens import Ranked, genes_each
from backend.models.spatialformer.transformer.windows import HARD, NEAR, Places

Ids = NDArray[np.int64]
Table = NDArray[np.float64]
#: How fast genes fade; the value at which ``Match`` begins.
FADE = 1.5
#: Added to the variance of every gene, whose own is about 1.
RIDGE = 1.0
#: Cells whose neighbours are looked at, and cells of a section that are used, at most.
ANCHORS, CELLS = 4000, 20000
#: Far cells of an anchor.
FAR = 4
#: Size of the gene embeddings against the frozen type embedding, and of the branches of blocks.
GAIN, BRANCH = 2.0, 0.1


def begin_closed_form(model: Former, corpus: Corpus, seed: int) -> None:
    """Set the gene embeddings and branches of a new model as said above."""
    size = model.size
    vectors = gene_vectors(corpus, size.width, genes_each(size.longest), seed)
    known = np.flatnonzero(vectors.any(axis=1))
    norm = np.sqrt((vectors[known] ** 2).sum(1).mean())
    values = vectors[known] * (GAIN * np.sqrt(size.width) / norm)
    with torch.no_grad():
        start = torch.from_numpy(values.astype(np.float32)).to(model.token.weight.device)
        if model.prior is not None:
            start = start - model.prior.weight[known]
        model.token.weight[known] = start
        for part in model.modules():
            if isinstance(part, Residual):
                part.scale.fill_(BRANCH)


def gene_vectors(corpus: Corpus, width: int, room: int, seed: int) -> Table:
    """Return the embedding of each token, (V, width); zero where it is no gene of the corpus."""
    random = np.random.default_rng(seed)
    n = len(corpus.vocabulary)
    own, pairs = np.zeros((n, n)), np.zeros((n, n))
    for lesson in corpus.lessons:
        used, variance, near = _moments(lesson, n, room, random)
        total = max(float(np.trace(variance)), 1e-12)
        own[np.ix_(used, used)] += variance / total
        pairs[np.ix_(used, used)] += near / total
    genes = np.flatnonzero(np.diag(own) > 0)
    scale = np.sqrt(np.diag(own)[genes])
    scale = np.maximum(scale, 0.3 * np.median(scale))
    both = np.outer(scale, scale)
    left = pairs[np.ix_(genes, genes)] / both
    right = own[np.ix_(genes, genes)] / both + RIDGE * np.eye(len(genes))
    k = min(width, len(genes))
    weight, u = eigh(left, right, subset_by_index=[len(genes) - k, len(genes) - 1])
    out = np.zeros((n, width))
    out[genes, :k] = (u * np.sqrt(np.maximum(weight, 0)))[:, ::-1] / scale[:, None]
    return out


def shares(cells: Ranked, rows: Iterable[int], n: int, room: int) -> csr_matrix:
    """Return how much each gene leads each cell, (cells, n); rows sum to 1 where they have any."""
    chosen = [cells.of(r)[:room] for r in rows]
    fading = np.exp(-FADE * np.arange(room) / FADED)
    data = [fading[: len(c)] / max(fading[: len(c)].sum(), 1e-9) for c in chosen]
    starts = np.concatenate([[0], np.cumsum([len(c) for c in chosen])])
    return csr_matrix((np.concatenate(data), np.concatenate(chosen), starts), (len(chosen), n))


def _moments(
    lesson: Lesson, n: int, room: int, random: np.random.Generator
) -> tuple[Ids, Table, Table]:
    """Return the genes of a section, their covariance, and that of near less far cells."""
    count = lesson.cells.n_cells
    rows = np.sort(random.permutation(count)[:CELLS])
    x = shares(lesson.cells, range(count), n, room)
    mean = np.asarray(x.mean(axis=0)).ravel()
    used = np.flatnonzero(mean > 0)
    x, mean = csr_matrix(x[:, used]), mean[used]
    own = _product(x, mean, rows, rows)
    near, far = _ends(lesson.places, random)
    pairs = _product(x, mean, *near) - 0.5 * _product(x, mean, *far)
    return used, own, 0.5 * (pairs + pairs.T)


def _product(x: csr_matrix, mean: Table, a: Ids, b: Ids) -> Table:
    """Return the mean of (x_a - mean) (x_b - mean)' over pairs of rows."""
    m = max(len(a), 1)
    first, second = x[a], x[b]
    cross = np.asarray((first.T @ second).todense()) / m
    one = np.asarray(first.sum(axis=0)).ravel() / m
    two = np.asarray(second.sum(axis=0)).ravel() / m
    out: Table = cross - np.outer(one, mean) - np.outer(mean, two) + np.outer(mean, mean)
    return out


def _ends(places: Places, random: np.random.Generator) -> tuple[tuple[Ids, Ids], tuple[Ids, Ids]]:
    """Return near pairs and far pairs of some anchors."""
    anchors = random.permutation(len(places.xy))[:ANCHORS]
    near: list[tuple[int, int]] = []
    far: list[tuple[int, int]] = []
    reached = places.tree.query_ball_point(places.xy[anchors], HARD[1])
    for a, around in zip(anchors, reached, strict=True):
        others = np.asarray(around, np.int64)
        away = np.linalg.norm(places.xy[others] - places.xy[a], axis=1)
        near += [(int(a), int(j)) for j in others[(away <= NEAR) & (others != a)]]
        drawn = random.permutation(others[away >= HARD[0]])[:FAR]
        far += [(int(a), int(j)) for j in drawn]
    return _columns(near), _columns(far)


def _columns(pairs: list[tuple[int, int]]) -> tuple[Ids, Ids]:
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
