"""A held-out section as a stranger would bring it: another technology, animal and position.

It holds a small lesion of cells of a type that no atlas section has, so that an honest annotation
must say "don't know" there, and a few genes that the atlas does not know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import StoreExists
from backend.demo.expression import Cells, draw_counts
from backend.demo.genes import gene_model
from backend.demo.regions import regions
from backend.demo.section import Layout, SectionSpec, truth
from backend.demo.technologies import panel, technologies
from backend.demo.types import class_of_type, classes, type_names

if TYPE_CHECKING:
    from anndata import AnnData

#: Name of the type and of the class that the atlas does not hold.
NOVEL = "Lesion-associated (novel)"
#: Share of all cells in the lesion's reach, and of those that are of the novel type.
REACH, TAKEN = 0.05, 0.6
#: Middle of the lesion, micrometres in the plane of the plan.
LESION_XY = (3_100.0, 1_500.0)
#: Genes beyond those of the atlas from which the query's panel may choose.
UNKNOWN_GENES = 80


class Query(NamedTuple):
    """A held-out section: places, counts and the truth.

    kind : (n,) int16
        Type; len(type_names()) stands for the novel one.
    """

    where: Layout
    counts: csr_matrix
    genes: tuple[str, ...]
    cells: Cells
    kind: NDArray[np.int16]


def query_spec(seed: int, cells: int) -> SectionSpec:
    """Return the held-out section: half a coronal section between those of the atlas."""
    return SectionSpec(
        id="query",
        title="Coronal −1.7 mm, seqFISH-like (simulated, held out)",
        animal="10",
        technology="seqfish",
        axis="coronal",
        position=-1.75,
        window=(-150.0, 0.0, 5_700.0, 8_000.0),
        is_round=False,
        n_cells=cells,
        number=1_000_000,
        seed=seed,
    )


def simulate_query(seed: int = 0, cells: int = 8000, genes: int = 3000) -> Query:
    """Return the held-out section for an atlas of ``genes`` genes made with the same seed."""
    spec = query_spec(seed, cells)
    model = gene_model(genes + UNKNOWN_GENES, seed)
    technology = technologies()[spec.technology]
    chosen = panel(technology, model.symbols, seed)
    known = truth(spec)
    kind = _with_lesion(known.kind, known.layout, spec)
    in_query = known.cells._replace(kind=kind)
    counts = draw_counts(model, in_query, model.places(chosen), technology, spec.key)
    return Query(known.layout, counts, chosen, in_query, kind)


def _with_lesion(kind: NDArray[np.int16], where: Layout, spec: SectionSpec) -> NDArray[np.int16]:
    """Return the types with most cells around one place turned into the novel type."""
    away = np.hypot(*(where.brain[:, :2] - LESION_XY).T)
    near = np.argsort(away, kind="stable")[: round(REACH * len(kind))]
    rng = np.random.default_rng([*spec.key, 9])
    turned = near[np.argsort(rng.random(near.size))[: round(TAKEN * near.size)]]
    changed = kind.copy()
    changed[turned] = len(type_names())
    return changed


def demo_query(out: Path, *, seed: int = 0, cells: int = 8000, genes: int = 3000) -> Path:
    """Write the held-out section as an .h5ad file and return its path.

    X holds raw counts, ``obsm['spatial']`` micrometres; ``obs`` has ``true_class``, ``true_type``
    and ``true_region``, which a test may read and an annotation must not.

    Raises
    ------
    StoreExists
        If ``out`` exists.
    """
    out = Path(out)
    if out.exists():
        raise StoreExists(f"{out} exists.", "Choose another name, or remove it first.")
    draft = out.with_name(f".{out.stem}.partial.h5ad")
    _as_anndata(simulate_query(seed, cells, genes), seed).write_h5ad(draft, compression="gzip")
    os.replace(draft, out)
    return out


def _as_anndata(query: Query, seed: int) -> AnnData:
    import anndata
    import pandas as pd

    kinds = np.array([*type_names(), NOVEL])
    of_class = np.append(class_of_type(), len(classes()))[query.kind]
    truths = {
        "true_class": np.array([*(c.name for c in classes()), NOVEL])[of_class],
        "true_type": kinds[query.kind],
        "true_region": np.array([region.name for region in regions()])[query.where.leaf],
    }
    obs = pd.DataFrame(truths, index=[f"query_{row:06d}" for row in range(len(query.kind))])
    data = anndata.AnnData(
        X=query.counts.astype(np.int32), obs=obs, var=pd.DataFrame(index=list(query.genes))
    )
    data.obsm["spatial"] = query.where.xy
    spec = query_spec(seed, len(query.kind))
    data.uns["title"] = spec.title
    data.uns["simulated"] = True
    return data
