"""The verb: subspots of sections of spots, with what may be expected of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import Column, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.models.soscope.card import CARD
from backend.models.soscope.checks import refuse_faults
from backend.models.soscope.counted import chosen_features
from backend.models.soscope.domains import domains
from backend.models.soscope.enhance import Enhanced, enhance_layout
from backend.models.soscope.layouts import Layout, joined, subdivided
from backend.models.soscope.report import figures_of
from backend.models.soscope.returned import columns_of, matrices_of, subspots_of


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
        fine = subspots_of(section, layout.xy[rows], parent, found.rate[rows], genes)
        made.append(replace(fine, names=(names or {}).get(section.id, fine.names)))
        columns += columns_of(section.id, found, rows, spots, groups)
        matrices += matrices_of(section.id, found, rows, parent, genes)
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
