"""The verb that joins the modalities of uploaded files into domains and weighs each modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from backend.core.errors import BadRequest
from backend.intake.linked import linked
from backend.intake.mapping import ReadMapping, safe_id
from backend.worker.asked import params_of
from backend.worker.work import Work

Align = Literal["strict", "name", "union"]
#: Domains and seeds that may be asked for.
MOST_DOMAINS, MOST_SEEDS = 40, 20


@dataclass(frozen=True, slots=True)
class WeighParams:
    """What a person chooses.

    Parameters
    ----------
    clusters : int
        Number of domains; suggested where 0.
    seeds : int
    align : "strict", "name" or "union"
    truth : str
        Label that domains are compared with; none where empty.
    empty : "refuse" or "missing"
        What to make of spots without a count in a modality.
    """

    clusters: int = 0
    seeds: int = 5
    align: str = "strict"
    truth: str = ""
    empty: str = "missing"


def integrate_modalities(work: Work) -> Mapping[str, Any]:
    """Weigh a multi-omics section: a file to take away, and an atlas of one section to look at."""
    # torch is loaded here, in the process of the job.
    from backend.models.spatialglue.tasks import IntegrateParams
    from backend.runs.weights import weigh_files
    from backend.runs.weights_atlas import (
        view_figures,
        write_domain_table,
        write_weights_atlas,
    )

    asked = checked(params_of(WeighParams, work.job.params))
    params = IntegrateParams(
        clusters=asked.clusters or None,
        seeds=asked.seeds,
        empty="missing" if asked.empty == "missing" else "refuse",
        truth=asked.truth,
    )
    uploads = work.uploads()
    title = " and ".join(Path(name).stem for name, _ in uploads)
    mapping = ReadMapping(id=safe_id(title), title=title.replace("{", "(").replace("}", ")"))
    with linked(uploads) as paths:
        section, result = weigh_files(
            paths,
            params,
            work.folder / "weights.h5ad",
            work.context.part(0.0, 0.9),
            align=_align(asked.align),
            mapping=mapping,
        )
    work.context.step(0.9, "Finding distinctive features")
    view = view_figures(section, result)
    work.context.step(0.95, "Writing the section")
    write_domain_table(work.folder / "weights.csv", result.figures)
    write_weights_atlas(work.folder / "atlas.zarr", section, result)
    return {
        "section": f"query-{work.job.id}",
        "n_spots": section.n_cells,
        "n_domains": result.figures["count"],
        "figures": {**result.figures, "view": view, "labels": list(section.labels)},
    }


def checked(asked: WeighParams) -> WeighParams:
    """Return the parameters, all within bounds.

    Raises
    ------
    BadRequest
        Naming every one that is not.
    """
    wrong = []
    if asked.clusters and not 2 <= asked.clusters <= MOST_DOMAINS:
        wrong.append(f"{asked.clusters} domains; give 2 to {MOST_DOMAINS}, or 0 for a suggestion")
    if not 1 <= asked.seeds <= MOST_SEEDS:
        wrong.append(f"{asked.seeds} seeds; give 1 to {MOST_SEEDS}")
    if asked.align not in get_args(Align):
        wrong.append(f"align '{asked.align[:20]}'; give {', '.join(get_args(Align))}")
    if asked.empty not in ("refuse", "missing"):
        wrong.append(f"empty '{asked.empty[:20]}'; give refuse or missing")
    if wrong:
        raise BadRequest("This cannot be run.", *wrong)
    return asked


def _align(text: str) -> Align:
    return "name" if text == "name" else "union" if text == "union" else "strict"
