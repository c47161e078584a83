"""The verb: subspots of sections of spots, with what may be expected of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, vstack

from backend.core.data import Column, Label, Matrix, Modality, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.core.layers import Category, LayerKey
from backend.models.soscope.card import CARD
from backend.models.soscope.checks import refuse_faults
from backend.models.soscope.domains import domains
from backend.models.soscope.enhance import Enhanced, enhance_layout
from backend.models.soscope.layouts import Layout, joined, subdivided
from backend.models.soscope.report import figures_of

#: Subspots times genes returned at most: rate, split and sd are tables of this size.
MOST_VALUES = 40_000_000
#: Genes returned at most unless more are asked for.
MOST_GENES = 2000
COUNTED = ("rna", "protein", "atac")


@dataclass(frozen=True, slots=True)
class EnhanceParams:
    """What to run.

    Parameters
    ----------
    factor : int
        Subspots per side on a square lattice; 7 or 6 on a hexagonal one.
    shape : "", "square" or "hexagon"
        Found from the spots where empty.
    genes : int
        Most abundant genes that are returned; as many as fit where 0.
    domains : int
        Number of domains; suggested where 0.
    check : bool
        Whether spots are merged and recovered to tell the gain, and to fall back.
    mode : "default" or "generative"
        The generative mode stands beside the default one in the table of methods.
    law : "nb" or "poisson"
        Of the counts, in generative mode.
    seeds : int
        Models averaged in generative mode.
    """

    factor: int = 2
    shape: Literal["", "square", "hexagon"] = ""
    genes: int = 0
    domains: int = 0
    check: bool = True
    mode: Literal["default", "generative"] = "default"
    law: Literal["nb", "poisson"] = "nb"
    seeds: int = 3


def enhance(
    sections: Sequence[SectionData],
    params: EnhanceParams,
    ctx: RunContext,
    *,
    features: Mapping[str, NDArray[np.float32]] | None = None,
    layouts: Mapping[str, Layout] | None = None,
    names: Mapping[str, NDArray[Any]] | None = None,
) -> TaskResult:
    """Return sections of subspots.

    Parameters
    ----------
    sections : sequence of SectionData
        Spots with counts; run together, with kernels of space within each section only.
    params : EnhanceParams
    ctx : RunContext
    features : mapping of section id to (n, 69) float32, optional
        Image features of the subspots of ``layout_of``; all sections or none.
    layouts : mapping of section id to Layout, optional
        Given ones, such as cells within spots.
    names : mapping of section id to (n,) str array, optional
        Of these subspots; made from those of the spots where None.

    Returns
    -------
    TaskResult
        See ``backend.runs.enhance`` for sections, columns, matrices and figures.

    Raises
    ------
    BadFile, BadRequest, Cancelled
    """
    refuse_faults(sections)
    own = [(layouts or {}).get(s.id) or layout_of(s, params) for s in sections]
    layout = joined(own)
    counts, genes, modality = chosen_features(sections, params.genes, layout.n_subspots)
    image = None
    if features:
        missing = [s.title for s in sections if s.id not in features]
        if missing:
            raise BadRequest(
                f"There is no image of section '{missing[0]}'.", "Give one for each, or none."
            )
        image = np.concatenate([features[s.id] for s in sections])
    is_default = params.mode == "default"
    found = enhance_layout(
        layout, counts, ctx.part(0.0, 0.9 if is_default else 0.2), features=image,
        modality=modality, check=params.check,
    )  # fmt: skip
    own_figures: dict[str, Any] = {}
    if not is_default:
        found, own_figures = _generated(layout, counts, found, params, ctx, image, modality)
    ctx.step(0.92, "Finding domains")
    groups = domains(found.factors.scores, found.scores, params.domains, ctx.seed)
    provenance = Provenance(
        CARD.name, CARD.version, asdict(params), ctx.seed, tuple(s.id for s in sections)
    )
    figures = figures_of(layout, counts, genes, found, [s.title for s in sections], groups[2])
    figures = {**figures, "mode": params.mode, "generative": own_figures or None}
    figures["warnings"] = [*figures["warnings"], *own_figures.get("warnings", [])]
    columns: list[Column] = []
    matrices: list[Matrix] = []
    made: list[SectionData] = []
    for i, section in enumerate(sections):
        rows = np.flatnonzero(layout.subspot_section == i)
        spots = np.flatnonzero(layout.section == i)
        parent = layout.parent[rows] - spots[0]
        fine = _subspots(section, layout.xy[rows], parent, found.rate[rows], genes)
        made.append(replace(fine, names=(names or {}).get(section.id, fine.names)))
        columns += _columns(section.id, found, rows, spots, groups)
        matrices += _matrices(section.id, found, rows, parent, genes)
    ctx.step(1.0, "Enhanced")
    return TaskResult(tuple(columns), tuple(matrices), tuple(made), figures, provenance)


def _generated(
    layout: Layout,
    counts: csr_matrix,
    found: Enhanced,
    params: EnhanceParams,
    ctx: RunContext,
    image: NDArray[np.float32] | None,
    modality: NDArray[np.int64],
) -> tuple[Enhanced, dict[str, Any]]:
    """Run the generative mode; return its subspots and what it says of itself."""
    # torch is loaded here, and for this mode only.
    from backend.models.soscope.generate import generate_layout, loses

    fine, made = generate_layout(
        layout, counts, found, ctx.part(0.2, 0.9), features=image, modality=modality,
        law=params.law, seeds=params.seeds,
    )  # fmt: skip
    warnings = []
    if fine.merge is not None and loses(fine.merge.methods):
        warnings.append(
            "The generative mode recovers merged spots less well than the default mode: prefer it."
        )
    if made.is_collapsed:
        warnings.append("The latent of a generative model says nothing: do not trust its detail.")
    return fine, {
        "law": params.law, "seeds": params.seeds, "divergence": list(made.divergence),
        "is_collapsed": made.is_collapsed, "warnings": warnings,
    }  # fmt: skip


def layout_of(section: SectionData, params: EnhanceParams) -> Layout:
    """Return the layout of the subspots of a section.

    Raises
    ------
    BadFile, BadRequest
        If the spots cannot be cut by this factor.
    """
    refuse_faults([section])
    return subdivided(section.xy, params.factor, params.shape or None)


def subspot_id(section: str) -> str:
    """Return the id of the section of subspots."""
    return f"{section}.subspots"


def chosen_features(
    sections: Sequence[SectionData], most: int, n_subspots: int
) -> tuple[csr_matrix, tuple[str, ...], NDArray[np.int64]]:
    """Return counts of the features that are enhanced, their names, and their modality.

    Parameters
    ----------
    sections : sequence of SectionData
        Features that not all of them have are left out.
    most : int
        Features at most, the most abundant ones; as many as fit where 0.
    n_subspots : int

    Returns
    -------
    (N, g) csr_matrix of float32, tuple of g str, (g,) int64
    """
    tables = [_features(section) for section in sections]
    shared = [n for n in tables[0][1] if all(n in set(names) for _, names, _ in tables[1:])]
    if not shared:
        raise BadRequest("The sections have no gene in common.", "Enhance them one by one.")
    blocks = []
    for counts, names, _ in tables:
        place = {name: i for i, name in enumerate(names)}
        blocks.append(csr_matrix(counts[:, [place[name] for name in shared]]))
    counts = csr_matrix(vstack(blocks, format="csr"), dtype=np.float32)
    kind = dict(zip(tables[0][1], tables[0][2].tolist(), strict=True))
    modality = np.array([kind[name] for name in shared], np.int64)
    abundance = np.asarray(counts.sum(axis=0)).ravel()
    room = max(MOST_VALUES // max(n_subspots, 1), 1)
    keep = np.argsort(-abundance, kind="stable")[: most or min(MOST_GENES, room)]
    keep = np.sort(keep[abundance[keep] > 0])
    return csr_matrix(counts[:, keep]), tuple(shared[i] for i in keep), modality[keep]


def _features(section: SectionData) -> tuple[csr_matrix, tuple[str, ...], NDArray[np.int64]]:
    """Return the counts of all modalities side by side."""
    counted: list[Modality] = [m for m in section.modalities if m.kind in COUNTED and m.features]
    if len(counted) < 2:
        return section.counts, section.genes, np.zeros(len(section.genes), np.int64)
    names = [f if i == 0 else f"{f} ({m.name})" for i, m in enumerate(counted) for f in m.features]
    modality = np.repeat(np.arange(len(counted)), [len(m.features) for m in counted])
    joint = hstack([csr_matrix(m.values) for m in counted], format="csr")
    return csr_matrix(joint), tuple(names), modality


def _subspots(
    section: SectionData,
    xy: NDArray[np.float64],
    parent: NDArray[np.int64],
    rate: NDArray[np.float32],
    genes: tuple[str, ...],
) -> SectionData:
    """Return the section of subspots; each is named after its spot."""
    first = np.concatenate([[0], np.flatnonzero(np.diff(parent)) + 1])
    place = np.arange(len(parent)) - np.repeat(first, np.diff([*first, len(parent)]))
    names = [f"{section.names[p]}_{k + 1}" for p, k in zip(parent, place, strict=True)]
    return SectionData(
        id=subspot_id(section.id),
        title=f"{section.title}, subspots",
        xy=xy.astype(np.float32),
        counts=sparse_of(rate),
        genes=genes,
        names=np.array(names),
        labels={name: Label(label.codes[parent], label.categories)
                for name, label in section.labels.items()},
        unit="expected counts",
        xy_unit=section.xy_unit,
        technology=section.technology,
        dataset=section.dataset,
        species=section.species,
    )  # fmt: skip


def sparse_of(values: NDArray[np.float32], least: float = 1e-3) -> csr_matrix:
    """Return a table without its values below ``least``."""
    return csr_matrix(np.where(values >= least, values, 0), dtype=np.float32)


def _columns(
    section: str,
    found: Enhanced,
    rows: NDArray[np.int64],
    spots: NDArray[np.int64],
    groups: tuple[NDArray[np.int16], NDArray[np.int16], int],
) -> list[Column]:
    before, after, k = groups
    named = tuple(Category(f"domain {i + 1}", "") for i in range(k))
    fine = subspot_id(section)
    domain = LayerKey("label", "domain")
    scores = [
        (section, "residual", found.residual[spots], "standard deviations"),
        (fine, "uncertainty", found.uncertainty[rows], "share"),
        (fine, "detail", found.detail[rows], "standard deviations of counting"),
    ]
    if found.merge is not None and found.method != "generative":
        change = (100 * found.merge.by_spot[spots]).astype(np.float32)
        scores.append((section, "recovered", change, "% change of deviance"))
    return [
        Column(section, domain, before[spots], named),
        Column(fine, domain, after[rows], named),
        *(Column(name, LayerKey("score", what), v, unit=unit) for name, what, v, unit in scores),
    ]


def _matrices(
    section: str,
    found: Enhanced,
    rows: NDArray[np.int64],
    parent: NDArray[np.int64],
    genes: tuple[str, ...],
) -> list[Matrix]:
    fine = subspot_id(section)
    return [
        Matrix(fine, "rate", found.rate[rows], genes),
        Matrix(fine, "split", found.split[rows], genes),
        Matrix(fine, "sd", found.sd[rows], genes),
        Matrix(fine, "parent", parent.astype(np.float32)[:, None], ("spot",)),
    ]
