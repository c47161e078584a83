"""What a training leaves: embeddings of cells, niches and genes; imputed and rebuilt expression.

    imputed = z_C E             for every gene of the union; no activation, not scaled back   (1)
    rebuilt = relu(A z_T E_v)   over the whole graph: the exact form of the decoder            (2)

Deviations
----------
(1) is what the authors report. Because their minibatch decode sees a graph several times too weak
(see ``batches``), neither (1) nor (2) is on the scale of the data: compare by correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import UnknownGene, did_you_mean
from backend.models.fusemap.parity.batches import block
from backend.models.fusemap.parity.network import Encoder, Network
from backend.models.fusemap.parity.prepare import Published
from backend.models.fusemap.parity.training import Training

#: Cells that are encoded at once.
CHUNK = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FittedSection:
    """A section after training.

    Parameters
    ----------
    cells : (m,) int64
        Rows of the section as given that the published filters keep.
    genes : (p,) upper-case symbols that were used
    x : (m, p) csr_matrix
        Processed expression, which imputed values are compared with.
    cell, niche : (m, k) float32
    """

    name: str
    cells: NDArray[np.int64]
    genes: tuple[str, ...]
    x: csr_matrix
    graph: csr_matrix
    cell: Floats
    niche: Floats


@dataclass(frozen=True, slots=True)
class Fitted:
    """All sections after training.

    Parameters
    ----------
    genes : tuple of str
        Union of the panels, upper case, ascending.
    gene_embedding : (g, k) float32
    weight : float
        lambda of the adversary, as the first batch set it.
    history : list of dict
        Losses per epoch.
    ended : str
        Why the training ended before its time, if it did.
    tensors : dict of str to array
        Parameters of the network, for a checkpoint.
    """

    genes: tuple[str, ...]
    gene_embedding: Floats
    sections: tuple[FittedSection, ...]
    weight: float
    history: list[dict[str, float]]
    ended: str
    tensors: dict[str, Floats]


def impute(fitted: Fitted, section: int, genes: Sequence[str]) -> Floats:
    """Return (1) for some genes: (m, len(genes)), in the order of ``FittedSection.cells``.

    Raises
    ------
    UnknownGene
        For a gene that no section measures.
    """
    return fitted.sections[section].cell @ fitted.gene_embedding[_places(fitted, genes)].T


def rebuilt(
    fitted: Fitted, section: int, genes: Sequence[str], form: Literal["graph", "niche"] = "graph"
) -> Floats:
    """Return (2) for some genes, or z_T E for ``form="niche"``: (m, len(genes))."""
    s = fitted.sections[section]
    values = s.niche @ fitted.gene_embedding[_places(fitted, genes)].T
    if form == "niche":
        return values
    return np.maximum(s.graph @ values, 0)


def batch_rebuilt(
    fitted: Fitted, section: int, batch: int, seed: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Return (2) as a training step saw it: of the neighbours of ``batch`` seeds, from those alone.

    Returns
    -------
    (b, p) float32 and (b,) int64
        Expression of the section's panel, and the rows that it is of.
    """
    s = fitted.sections[section]
    rng = np.random.default_rng(seed)
    seeds = np.sort(rng.permutation(len(s.cells))[:batch]).astype(np.int64)
    part = block(s.graph, seeds, "minibatch")
    values = s.niche[seeds] @ fitted.gene_embedding[_places(fitted, s.genes)].T
    return np.maximum(s.graph[part.rebuilt][:, seeds] @ values, 0), part.rebuilt


def embedded(network: Network, section: int, data: Published, device: str) -> tuple[Floats, Floats]:
    """Return the embeddings (m, k) of all cells and niches of a section, nothing dropped."""
    encoder = network.encoder(section).eval()
    parts = []
    with torch.no_grad():
        for start in range(0, data.n_cells, CHUNK):
            x = torch.from_numpy(data.x[start : start + CHUNK].toarray()).to(device)
            parts.append(encoder(x)[0].cpu().numpy())
    cell = np.concatenate(parts)
    return cell, np.asarray(data.graph.T @ cell, dtype=np.float32)


def fitted_of(
    t: Training, prepared: Sequence[Published], names: Sequence[str], genes: tuple[str, ...]
) -> Fitted:
    """Return the result of a training, the same in every process of a team."""
    own = {o.section: embedded(t.network, o.section, o.data, t.device) for o in t.own}
    sections = []
    for v, (data, name) in enumerate(zip(prepared, names, strict=True)):
        cell, niche = (_shown(t, v, own[v][i] if v in own else None) for i in (0, 1))
        sections.append(
            FittedSection(name, data.cells, data.genes, data.x, data.graph, cell, niche)
        )
    tensors = _tensors(t, [len(p.genes) for p in prepared])
    table = t.network.genes.detach().cpu().numpy().T.copy()
    weight = 1.0 if t.weight is None else t.weight
    return Fitted(genes, table, tuple(sections), weight, t.history, t.ended, tensors)


def _tensors(t: Training, panels: Sequence[int]) -> dict[str, Floats]:
    """Return all tensors of the network, those of encoders in other processes too."""
    own = {n: v for n, v in t.network.state_dict().items() if v.is_floating_point()}
    out = {n: v for n, v in own.items() if not n.startswith("encoders.")}
    for v, n_genes in enumerate(panels):
        shapes = Encoder(n_genes, t.settings).state_dict()
        names = [n for n, value in shapes.items() if value.is_floating_point()]
        mine = f"encoders.{v}.{names[0]}" in own
        flat = torch.cat([own[f"encoders.{v}.{n}"].flatten() for n in names]) if mine else None
        whole = t.team.shown(v, None if flat is None else flat[None])[0]
        parts = whole.split([shapes[n].numel() for n in names])
        for n, part in zip(names, parts, strict=True):
            out[f"encoders.{v}.{n}"] = part.reshape(shapes[n].shape)
    return {n: value.detach().cpu().numpy() for n, value in out.items()}


def _shown(t: Training, section: int, values: Floats | None) -> Floats:
    rows = None if values is None else torch.from_numpy(values).to(t.device)
    return np.asarray(t.team.shown(section, rows).cpu().numpy(), dtype=np.float32)


def _places(fitted: Fitted, genes: Sequence[str]) -> NDArray[np.int64]:
    """Rows of genes in the gene embedding, matched without case."""
    place = {gene: i for i, gene in enumerate(fitted.genes)}
    absent = [g for g in genes if g.upper() not in place]
    if absent:
        raise UnknownGene(
            f"No section measures {absent[0]}.", did_you_mean(absent[0], fitted.genes)
        )
    return np.array([place[g.upper()] for g in genes], dtype=np.int64)
