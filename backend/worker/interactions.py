"""Verbs on neighbours: predicted partners of cells, and gene pairs of two types that touch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.core.errors import BadRequest
from backend.worker.asked import params_of, text_of
from backend.worker.work import Work

if TYPE_CHECKING:
    from backend.core.data import SectionData
    from backend.runs.partners import Chosen

#: Label whose classes are types unless another is asked for.
MAIN_LABEL = "label:type"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the section that were chosen."""

    cells: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sections:
    """Sections of the atlas that a probe learns from."""

    sections: tuple[str, ...] = ()


def find_partners(work: Work) -> Mapping[str, Any]:
    """Predict partners: an atlas of the section with layers, the figures, and a table by type.

    Of cells of the section, or of an upload, which may have no places; ``section`` then names the
    section of the atlas.
    """
    # scikit-learn is loaded here, in the process of the job.
    from backend.models.spatialformer.colocalise import ColocaliseParams
    from backend.runs.partners import colocalise_atlas, write_partners

    asked = work.job.params
    section, result = colocalise_atlas(
        work.atlas, section_of(work), text_of(asked, "label", MAIN_LABEL), chosen(work),
        params_of(ColocaliseParams, asked), work.context.part(0, 0.9), uploaded(work),
        transformer(work),
    )  # fmt: skip
    work.context.step(0.92, "Writing the section")
    write_partners(work.folder, section, result)
    figures = result.figures
    model = next(iter(figures["auc"].values()))
    return {
        "section": f"query-{work.job.id}",
        "n_cells": figures["n_cells"],
        "n_chosen": figures["query"]["n_cells"],
        "auc_hard": model["hard"],
        "auc_easy": model["easy"],
    }


def gene_pairs(work: Work) -> Mapping[str, Any]:
    """Test gene pairs of two types: the figures and a table."""
    from backend.analysis.ligands_table import table_in
    from backend.models.spatialformer.perturb import PerturbParams
    from backend.runs.partners import perturb_atlas, write_gene_pairs, write_json

    asked = work.job.params
    name = text_of(asked, "table")
    table = table_in(work.settings.pairs, name) if name else None
    result = perturb_atlas(
        work.atlas, one_section(work), text_of(asked, "label", MAIN_LABEL), chosen(work),
        params_of(PerturbParams, asked), work.context, table, transformer(work),
    )  # fmt: skip
    write_json(work.folder / "perturb.json", result)
    write_gene_pairs(work.folder / "perturb.csv", result.figures)
    return {
        name: result.figures[name]
        for name in ("a", "b", "n_contacts", "n_tested", "n_called", "n_called_clean")
    }


def name_types(work: Work) -> Mapping[str, Any]:
    """Name the types of an upload by the probe of labelled sections: figures and a table."""
    from backend.runs.partners import write_json
    from backend.runs.probe import probe_file, write_probe

    query = uploaded(work)
    if query is None:
        raise BadRequest("The probe names the types of an upload.", "Send inputs.upload.")
    asked = work.job.params
    sections = params_of(Sections, asked).sections
    if not sections:
        raise BadRequest("The probe learns from sections of the atlas.", "Name them in sections.")
    label = text_of(asked, "label", MAIN_LABEL)
    result = probe_file(work.atlas, sections, label, query, work.context)
    write_json(work.folder / "types.json", result)
    write_probe(work.folder / "types.csv", query, result)
    kept = ("n_cells", "n_types", "held_out_macro_f1", "counts")
    return {name: result.figures[name] for name in kept}


def uploaded(work: Work) -> SectionData | None:
    """Return the one section of the job's upload, with or without places; None without one.

    Raises
    ------
    BadRequest
        If the file holds several sections.
    """
    if "upload" not in work.job.inputs:
        return None
    from backend.intake.read import read_h5ad
    from backend.worker.reading import reading

    name = Path(str(work.job.inputs.get("name", "query"))).stem
    found = read_h5ad(work.upload(), reading(work.note("preflight").get("card", {}), name))
    if len(found) != 1:
        raise BadRequest(f"'{name}' holds {len(found)} sections.", "Send a file of one.")
    return found[0]


def section_of(work: Work) -> str:
    """Return the section of the atlas: the input, or beside an upload the parameter ``section``.

    Raises
    ------
    BadRequest
    """
    if "upload" not in work.job.inputs:
        return one_section(work)
    named = text_of(work.job.params, "section")
    if not named:
        raise BadRequest("Partners of an upload lie in a section.", "Name it in section.")
    return named


def transformer(work: Work) -> Path | None:
    """Return the checkpoint of the transformer of this installation, where it has one."""
    folder = work.settings.transformer
    return folder if (folder / "card.json").is_file() else None


def one_section(work: Work) -> str:
    """Return the section of a job that works on one.

    Raises
    ------
    BadRequest
    """
    named = work.sections()
    if len(named) != 1:
        raise BadRequest(
            f"{work.job.verb} works on one section of the atlas, {len(named)} were named.",
            "Send inputs.section.",
        )
    return named[0]


def chosen(work: Work) -> Chosen:
    """Return the cells that a job names.

    Raises
    ------
    BadRequest
        If a polygon or place cannot be read.
    """
    from backend.runs.partners import Chosen

    asked = work.job.params
    polygon = _points(text_of(asked, "polygon"), "polygon", "[[x, y], [x, y], [x, y]]")
    place = _points(f"[{text_of(asked, 'cell')}]", "cell", "[x, y]") if asked.get("cell") else []
    if polygon and len(polygon) < 3:
        raise BadRequest("The polygon has fewer than three corners.", "Draw a larger one.")
    return Chosen(
        tuple(polygon), place[0] if place else None, params_of(Rows, asked).cells,
        text_of(asked, "region"),
    )  # fmt: skip


def _points(text: str, name: str, example: str) -> list[tuple[float, float]]:
    if not text:
        return []
    try:
        return [(float(x), float(y)) for x, y in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise BadRequest(f"'{name}' cannot be read.", f"Send for example {example}.") from error
