"""What the worker can do: (model, verb) -> function. Networks are loaded when one is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.core.errors import BadRequest
from backend.intake.mapping import safe_id
from backend.worker.contacts import contacts, ligands
from backend.worker.enhance import enhance
from backend.worker.factors import integrate_sections
from backend.worker.interactions import find_partners, gene_pairs, name_types
from backend.worker.panel import panel
from backend.worker.reading import reading
from backend.worker.register import register
from backend.worker.weigh import integrate_modalities
from backend.worker.work import Verbs, Work

if TYPE_CHECKING:
    from backend.models.fusemap.tasks import AnnotateParams

#: Label whose unassigned cells are counted first.
MAIN_LABEL = "type"


def annotate(work: Work) -> Mapping[str, Any]:
    """Annotate an upload: a copy with columns, a table, and an atlas of one section to look at."""
    # torch is loaded here, in the process of the job.
    from backend.runs.annotate import annotate_file

    name = Path(str(work.job.inputs.get("name", "query"))).stem
    found = annotate_file(
        work.atlas,
        work.upload(),
        work.trained(),
        work.folder / "annotated.h5ad",
        work.folder / "annotated.csv",
        work.folder / "atlas.zarr",
        work.context,
        out_json=work.folder / "annotated.json",
        params=_asked(work.job.params),
        mapping=reading(work.note("preflight").get("card", {}), name),
        section_id=safe_id(name),
    )
    return {**summary(found), "section": f"query-{work.job.id}", "figures": found["figures"]}


def _asked(params: Mapping[str, Any]) -> AnnotateParams:
    """Return what an annotation was asked for.

    Raises
    ------
    BadRequest
    """
    # torch is loaded here, in the process of the job.
    from backend.models.fusemap.switch import PREFERENCES
    from backend.models.fusemap.tasks import AnnotateParams

    prefer = params.get("prefer", "auto")
    labels, taxonomy, error = (params.get(name) for name in ("labels", "taxonomy", "error"))
    faults = []
    if labels is not None and not (isinstance(labels, list) and all(map(_is_text, labels))):
        faults.append("labels is a list of names")
    if taxonomy is not None and not (
        isinstance(taxonomy, dict) and all(map(_is_text, taxonomy.values()))
    ):
        faults.append('taxonomy is a name per label, such as {"type": "osmfish_sscortex"}')
    if error is not None and not (isinstance(error, int | float) and 0 < error < 1):
        faults.append("error is a share, such as 0.05")
    if prefer not in PREFERENCES:
        faults.append(f"prefer is {' or '.join(PREFERENCES)}")
    if faults:
        raise BadRequest(f"Parameters cannot be read: {'; '.join(faults)}.")
    return AnnotateParams(tuple(labels) if labels else None, taxonomy or None, error, prefer)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def harmonise(work: Work) -> Mapping[str, Any]:
    """Say which class of one data set of the atlas is which class of another."""
    from backend.runs.harmonise import harmonise_atlas, write_harmonised

    label = str(work.job.params.get("label", "")).removeprefix("label:")
    labels = [label] if label else []
    found = harmonise_atlas(work.atlas, work.trained(), labels, work.context)
    write_harmonised(found, work.folder / "harmonised.csv", work.folder / "harmonised.json")
    listed = {name: len(entry["matches"]) for name, entry in found["labels"].items()}
    return {"labels": list(listed), "matches": listed, "passed_over": len(found["passed_over"])}


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of an annotation that the card shows; the rest goes to job.json."""
    figures: Mapping[str, Any] = found["figures"]
    first = next(iter(figures.values()))
    labels: Mapping[str, Any] = first["labels"]
    kept = {name: entry["unassigned"] for name, entry in labels.items() if "unassigned" in entry}
    main = MAIN_LABEL if MAIN_LABEL in kept else next(iter(kept), "")
    return {
        "sections": found["sections"],
        "n_cells": found["cells"],
        "n_matched": first["genes"]["matched"],
        "n_unassigned": round(kept[main] * found["cells"]) if main else None,
        "label": main,
        "unassigned": kept,
        "nearest": first["nearest"][:3],
    }


VERBS: Verbs = {
    ("fusemap", "annotate"): annotate,
    ("fusemap", "harmonise"): harmonise,
    ("fusemap", "contacts"): contacts,
    ("fusemap", "ligands"): ligands,
    ("fusemap", "panel"): panel,
    ("spatialglue", "integrate_modalities"): integrate_modalities,
    ("inspire", "integrate_sections"): integrate_sections,
    ("fusemap", "register"): register,
    ("soscope", "enhance"): enhance,
    ("spatialformer", "colocalise"): find_partners,
    ("spatialformer", "perturb"): gene_pairs,
    ("spatialformer", "annotate"): name_types,
}
