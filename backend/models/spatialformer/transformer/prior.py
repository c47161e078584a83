"""A vector per gene from where its transcripts lie: GraphSAGE (Hamilton et al. 2017).

Nodes are transcripts, edges join those less than 3 um apart. Two layers of mean aggregation,
h' = W_self h + W_near mean(h of neighbours) + b, ReLU between; the first acts on one-hot genes and
is therefore a table. Learnt to tell edges from random pairs by dot products. The vector of a gene
is the mean over its transcripts.

Deviations: of every field one connected patch of transcripts is used whole, instead of sampled
neighbourhoods of roots everywhere; at this size it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn import functional

Inputs = tuple[Tensor, Tensor, Tensor]
#: Transcripts this near one another are joined, micrometres.
REACH = 3.0
#: Components with fewer transcripts are left out.
LEAST_COMPONENT = 10
#: Learning stops at this share of edges and non-edges told right; published as about 0.82.
ENOUGH = 0.82
#: Edges of one step.
EDGES = 20000
#: Transcripts of a patch.
PATCH = 8_000


@dataclass(frozen=True, slots=True)
class GeneGraph:
    """Transcripts of some fields with their edges.

    gene : (m,) int64
    edges : (2, e) int64, each once
    degree : (m,) float32, neighbours of each
    """

    gene: NDArray[np.int64]
    edges: NDArray[np.int64]
    degree: NDArray[np.float32]


class Sage(nn.Module):
    """Two layers of mean aggregation over one-hot genes."""

    def __init__(self, n_genes: int, hidden: int, width: int) -> None:
        super().__init__()
        self.own, self.near = nn.Embedding(n_genes, hidden), nn.Embedding(n_genes, hidden)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.own2, self.near2 = nn.Linear(hidden, width), nn.Linear(hidden, width, bias=False)

    def forward(self, gene: Tensor, edges: Tensor, degree: Tensor) -> Tensor:
        """Return (m, width) of genes (m,), edges (2, e) and degrees (m,)."""
        h = self.own(gene) + _mean(self.near(gene), edges, degree) + self.bias
        h = functional.relu(h)
        out: Tensor = self.own2(h) + self.near2(_mean(h, edges, degree))
        return out


def _mean(values: Tensor, edges: Tensor, degree: Tensor) -> Tensor:
    """Return the mean over neighbours of values (m, c); edges are each once."""
    total = torch.zeros_like(values)
    total = total.index_add(0, edges[0], values[edges[1]]).index_add(0, edges[1], values[edges[0]])
    return total / degree.clamp(min=1)[:, None]


def gene_graph(xyz: NDArray[np.float64], gene: NDArray[np.int64], seed: int) -> GeneGraph:
    """Return the graph of a patch of transcripts; those of small components are left out."""
    if len(xyz) > PATCH:
        centre = xyz[np.random.default_rng(seed).integers(len(xyz))]
        patch = np.sort(cKDTree(xyz).query(centre, k=PATCH)[1])
        xyz, gene = xyz[patch], gene[patch]
    ends = cKDTree(xyz).query_pairs(REACH, output_type="ndarray")
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(xyz),) * 2)
    part = connected_components(graph, directed=False)[1]
    keep = np.bincount(part)[part] >= LEAST_COMPONENT
    place = np.cumsum(keep) - 1
    edges = place[ends[keep[ends[:, 0]]]].T
    degree = np.bincount(edges.ravel(), minlength=int(keep.sum()))
    return GeneGraph(gene[keep], edges, degree.astype(np.float32))


def learn_prior(
    graphs: list[GeneGraph], n_genes: int, width: int, seed: int, epochs: int = 8
) -> tuple[NDArray[np.float32], NDArray[np.bool_], float]:
    """Return a vector per gene, which genes have one, and the share of edges told right.

    Parameters
    ----------
    graphs : list of GeneGraph
        Fields; genes are ids below ``n_genes``.
    n_genes, width : int
    seed : int
    epochs : int
        At most; stops at ``ENOUGH``.

    Returns
    -------
    (n_genes, width) float32, (n_genes,) bool, float
    """
    random = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Sage(n_genes, 64, width)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.1)
    kept = [(g, _tensors(g)) for g in graphs if g.edges.shape[1]]
    right = 0.0
    for _ in range(epochs):
        told = []
        for graph, tensors in kept:
            loss, share = _edge_loss(net(*tensors), graph, random)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            told.append(share)
        right = float(np.mean(told)) if told else 0.0
        if right >= ENOUGH:
            break
    return (*_means(net, kept, n_genes, width), right)


def _edge_loss(h: Tensor, graph: GeneGraph, random: np.random.Generator) -> tuple[Tensor, float]:
    """Return the loss over edges and as many random pairs, and the share told right."""
    drawn = graph.edges[:, random.integers(0, graph.edges.shape[1], EDGES)]
    other = random.integers(0, len(graph.gene), (2, EDGES))
    ends = torch.from_numpy(np.concatenate([drawn, other], axis=1))
    logits = (h[ends[0]] * h[ends[1]]).sum(1)
    truth = torch.cat([torch.ones(EDGES), torch.zeros(EDGES)])
    share = float(((logits > 0) == (truth > 0)).float().mean())
    return functional.binary_cross_entropy_with_logits(logits, truth), share


def _means(
    net: Sage, kept: list[tuple[GeneGraph, Inputs]], n_genes: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    total, count = torch.zeros(n_genes, width), torch.zeros(n_genes)
    with torch.no_grad():
        for _, tensors in kept:
            total.index_add_(0, tensors[0], net(*tensors))
            count += torch.bincount(tensors[0], minlength=n_genes)
    vectors = total / count.clamp(min=1)[:, None]
    return vectors.numpy(), (count > 0).numpy()


def _tensors(graph: GeneGraph) -> Inputs:
    edges = torch.from_numpy(np.ascontiguousarray(graph.edges))
    return torch.from_numpy(graph.gene), edges, torch.from_numpy(graph.degree)


def put_prior(
    table: Tensor, vectors: NDArray[np.float32], known: NDArray[np.bool_], ids: NDArray[np.int64]
) -> None:
    """Write the vectors of known genes into an embedding table (V, D), scaled to unit variance."""
    use = known & (ids >= 0)
    if not use.any():
        return
    values = vectors[use]
    values = (values - values.mean(0)) / max(float(values.std()), 1e-6)
    with torch.no_grad():
        table[torch.from_numpy(ids[use])] = torch.from_numpy(values.astype(np.float32)).to(table)
