"""Partners of cells and gene pairs of a section of an atlas: read, asked of the model, written.

``colocalise_atlas`` -> figures: ``types``, ``matrix`` and ``observed`` (log odds by type),
``matrix_r``, ``niche`` [{name, predicted, observed}], ``jsd``, ``query``, ``partners``, ``auc``
{method: {hard, easy, within}}, ``auc_by_radius``, ``takes``, ``transformer`` (sentences),
``composition_jsd``, ``tested_on``, ``warnings``.
``perturb_atlas`` -> ``a``, ``b``, ``n_contacts``, ``n_tested``, ``rate``, ``rows`` [{gene_a,
gene_b, u, z, p, q, effect, risk_ratio, is_same, is_spill, is_ligand_receptor}], ``spill``,
``forward`` (the transformer's, or None), ``network``, ``warnings``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.ligands_table import read_pairs
from backend.analysis.selection import inside
from backend.core.data import Label, SectionData, TaskResult, units_of
from backend.core.errors import BadRequest, UnknownCell
from backend.core.job import RunContext
from backend.models.spatialformer.colocalise import ColocaliseParams, colocalise
from backend.models.spatialformer.perturb import PerturbParams, perturb
from backend.models.spatialformer.transformer.keep import Pretrained, load_pretrained
from backend.runs.contacts import label_key, regions_of, usable_sections
from backend.runs.sections import use_one_thread
from backend.runs.tables import beside, safe_text
from backend.store.atlas import Atlas
from backend.store.write import AtlasWriter, plan_of

#: Columns of the tables, in order.
PAIR_COLUMNS = (
    "gene_a", "gene_b", "u", "expected", "z", "p", "q", "effect", "risk_ratio", "called",
    "is_same", "is_spill", "is_ligand_receptor", "q_ligand_receptor", "forward_effect",
    "forward_z", "forward_q",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which cells are meant: a polygon, a place, rows of the section, or a region of a label.

    Parameters
    ----------
    polygon : tuple of (float, float)
        Corners in section coordinates.
    place : (float, float) or None
        The nearest cell to it is meant.
    rows : tuple of int
    region : str
        Such as "label:region=L5".
    """

    polygon: tuple[tuple[float, float], ...] = ()
    place: tuple[float, float] | None = None
    rows: tuple[int, ...] = ()
    region: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was chosen."""
        return not (self.polygon or self.place or self.rows or self.region)


def chosen_rows(atlas: Atlas, section_id: str, chosen: Chosen) -> NDArray[np.int64]:
    """Return the rows of a section that are meant, ascending; none where nothing was chosen.

    Raises
    ------
    UnknownCell, UnknownLayer, BadRequest
    """
    info = atlas.section(section_id)
    xy = np.asarray(atlas.xy[info.rows])
    found: list[NDArray[np.int64]] = []
    if chosen.rows:
        rows = np.array(chosen.rows, dtype=np.int64)
        if rows.min() < 0 or rows.max() >= info.n_cells:
            raise UnknownCell(
                f"Row {int(rows.max() if rows.min() >= 0 else rows.min())} is not in section "
                f"'{info.id}'.", f"Rows are 0 to {info.n_cells - 1}.",
            )  # fmt: skip
        found.append(rows)
    if chosen.place is not None:
        found.append(np.array([int(((xy - np.array(chosen.place)) ** 2).sum(axis=1).argmin())]))
    if chosen.polygon:
        found.append(np.flatnonzero(inside(xy, np.array(chosen.polygon, dtype=np.float64))))
    if chosen.region:
        found += [w.rows for w in regions_of(atlas, info, chosen.region)]
    rows = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
    if found and not len(rows):
        raise BadRequest("No cell lies in the chosen region.", "Draw it over cells.")
    return rows


def colocalise_atlas(
    atlas_path: Path | str,
    section_id: str,
    label: str,
    chosen: Chosen,
    params: ColocaliseParams | None = None,
    ctx: RunContext | None = None,
    query: SectionData | None = None,
    checkpoint: Path | None = None,
) -> tuple[SectionData, TaskResult]:
    """Return a section of an atlas and the predicted partners of its chosen cells.

    Parameters
    ----------
    query : SectionData, optional
        Cells from elsewhere, such as dissociated ones, whose partners are asked for instead.
    checkpoint : Path, optional
        Of a transformer that is shown beside the others, and used where it wins.

    Raises
    ------
    UnknownSection, UnknownLayer, UnknownCell, BadRequest, BadCheckpoint, TooFewCells
    """
    atlas = Atlas.open(atlas_path)
    params, ctx = params or ColocaliseParams(), ctx or RunContext()
    section, types = _read(atlas, section_id, label, params.radius_um)
    rows = chosen_rows(atlas, section_id, chosen)
    embedding = atlas.embedding("cell")
    extra = None
    if embedding is not None and section_id in embedding.sections:
        values = np.asarray(embedding.values[atlas.section(section_id).rows], dtype=np.float64)
        extra = values * embedding.scale
    pretrained = _transformer(checkpoint) if checkpoint and params.transformer else None
    return section, colocalise(section, types, rows, params, ctx, extra, query, pretrained)


def perturb_atlas(
    atlas_path: Path | str,
    section_id: str,
    label: str,
    chosen: Chosen,
    params: PerturbParams,
    ctx: RunContext | None = None,
    table: Path | None = None,
    checkpoint: Path | None = None,
) -> TaskResult:
    """Return the test of gene pairs of two types in a section, or in a region of it.

    Raises
    ------
    UnknownSection, UnknownLayer, BadRequest, BadFile, BadCheckpoint, NoSharedGenes, TooFewCells
    """
    atlas = Atlas.open(atlas_path)
    section, types = _read(atlas, section_id, label, params.radius_um)
    within = np.full(section.n_cells, chosen.is_empty)
    within[chosen_rows(atlas, section_id, chosen)] = True
    known = None if table is None else ligand_pairs(table, section.genes)
    pretrained = _transformer(checkpoint) if checkpoint and params.forward else None
    return perturb(section, types, within, params, ctx or RunContext(), known, pretrained)


def ligand_pairs(table: Path, genes: Sequence[str]) -> Callable[[str, str], bool]:
    """Return what says whether two genes are a ligand and its receptor, in either order.

    A subunit of a complex counts as the whole. Case is not told apart.
    """
    have = {g.upper() for g in genes}
    found: set[frozenset[str]] = set()
    for pair in read_pairs(table, lambda name: name.upper() in have):
        found |= {frozenset((x.upper(), y.upper())) for x in pair.ligand for y in pair.receptor}
    return lambda a, b: frozenset((a.upper(), b.upper())) in found


def write_partners(folder: Path, section: SectionData, result: TaskResult) -> None:
    """Write ``atlas.zarr`` with the layers, ``colocalise.json`` and the matrix as csv."""
    write_section(folder / "atlas.zarr", section, result)
    write_json(folder / "colocalise.json", result)
    write_matrix(folder / "colocalise.csv", result.figures)


def write_section(path: Path, section: SectionData, result: TaskResult) -> None:
    """Write a section with the columns of a result as an atlas of its own."""
    numbers = {c.layer: c.values for c in result.columns if not c.categories}
    units = units_of(result.columns)
    whole = replace(section, numbers={**section.numbers, **numbers}, number_units=units)
    made = asdict(result.provenance) if result.provenance else {}
    genes = (section.genes, [""] * len(section.genes))
    plan = [plan_of(whole, notes=("Partners predicted from expression.",))]
    writer = AtlasWriter(path, section.title, False, genes, plan, made)
    writer.add(whole)
    writer.finish()


def write_json(path: Path, result: TaskResult) -> None:
    """Write the figures for programs; beside and renamed."""
    with beside(path) as draft:
        draft.write_text(json.dumps(result.figures, allow_nan=False), encoding="utf-8")


def write_matrix(path: Path, figures: Mapping[str, Any]) -> None:
    """Write one line per pair of types: predicted and observed log odds."""
    names = [t["name"] for t in figures["types"]]
    with beside(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        for method, own in figures["auc"].items():
            shown = " ".join(f"{k} {v:.3f}" for k, v in own.items() if v is not None)
            file.write(f"# held-out AUC, {method}: {shown}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("type_a", "type_b", "predicted_log_odds", "observed_log_odds"))
        for i, a in enumerate(names):
            for j, b in enumerate(names):
                own = figures["matrix"][i][j], figures["observed"][i][j]
                writer.writerow([safe_text(a), safe_text(b), *(f"{v:.4f}" for v in own)])


def write_gene_pairs(path: Path, figures: Mapping[str, Any]) -> None:
    """Write one line per listed gene pair, the surest first."""
    with beside(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        file.write(
            f"# {figures['a']} and {figures['b']}: {figures['n_contacts']} contacts within "
            f"{figures['radius_um']:g} um, {figures['n_tested']} gene pairs tested\n"
        )
        file.write("# block permutation (150 um), Benjamini-Hochberg over all pairs; "
                   f"{figures['spill']['said']}\n")  # fmt: skip
        if figures["forward"]:
            file.write(f"# forward: {figures['forward']['said']}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PAIR_COLUMNS)
        for row in figures["rows"]:
            writer.writerow([_cell(row.get(c)) for c in PAIR_COLUMNS])


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else safe_text(str(value))


def _transformer(checkpoint: Path) -> Pretrained:
    """Return a transformer; its cells are shared among threads, so torch itself has one."""
    use_one_thread()
    return load_pretrained(checkpoint)


def _read(atlas: Atlas, section_id: str, label: str, radius: float) -> tuple[SectionData, Label]:
    """Return a section of single cells and one of its labels."""
    key = label_key(atlas, label)
    usable_sections(atlas, [section_id], key, radius)
    section = atlas.load(section_id)
    return section, section.labels[key.name]
