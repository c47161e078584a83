"""Ligands and receptors of two types in contact, on imputed or measured genes of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from scipy.sparse import csr_matrix, vstack

from backend.analysis.ligands import (
    LigandParams,
    LigandTest,
    Values,
    adjusted,
    compare_pairs,
    ligand_params_record,
    meet,
)
from backend.analysis.ligands_table import LigandPair, read_pairs
from backend.core.errors import BadRequest, UnknownLayer, did_you_mean
from backend.core.job import RunContext
from backend.core.layers import LayerKey, Trust
from backend.core.trust import IMPUTED_UNIT
from backend.models.common.prep import normalised
from backend.runs.contacts import Where, label_key, regions_of, usable_sections
from backend.store.atlas import Atlas

Kind = Literal["imputed", "measured"]
UNITS = {
    "imputed": IMPUTED_UNIT,
    "measured": "log1p of counts scaled to the section's median total, measured",
}
#: Random pairs of genes per direction that say how much a call means.
RANDOM = 200
#: What everyone who reads such a table must know.
CAUTION = (
    "Cells that touch also share misassigned transcripts: a ligand or receptor that the partner "
    "has more of may have spilled over, and imputation carries that on. Cells are not animals: q "
    "says how sure the difference between these cells is. A correlation is no signal."
)


@dataclass(frozen=True, slots=True)
class Meant:
    """Which cells and which values are tested.

    Parameters
    ----------
    sections : tuple of str
        Ids; all that can be used where empty.
    label : str
        Such as "label:type".
    a, b : str
        Names of the two types; both directions are tested.
    region : str
        As of contacts: "label:region=L5" for the cells of some regions.
    values : "imputed" or "measured"
    resource : str
        Of a table that holds several.
    """

    sections: tuple[str, ...] = ()
    label: str = "label:type"
    a: str = ""
    b: str = ""
    region: str = ""
    values: Kind = "imputed"
    resource: str = ""


def ligands_atlas(
    atlas_path: Path | str,
    table: Path,
    meant: Meant,
    params: LigandParams | None = None,
    ctx: RunContext | None = None,
) -> dict[str, Any]:
    """Return the test of every ligand and receptor of a table between two types that touch.

    Raises
    ------
    UnknownSection, UnknownLayer, BadRequest, BadFile, TooFewCells
    """
    params, ctx = (params or LigandParams()).checked(), ctx or RunContext()
    atlas = Atlas.open(atlas_path)
    if meant.values not in get_args(Kind):
        raise BadRequest(f"'{meant.values}' is no kind of value.", "Use imputed or measured.")
    key = label_key(atlas, meant.label)
    a, b = (_code(atlas, key, name) for name in (meant.a, meant.b))
    where, sections = _cells(atlas, meant, key, params)
    types = [np.asarray(atlas.label(key.name).codes[w.info.rows])[w.rows] for w in where]
    patches = [
        (np.asarray(atlas.xy[w.info.rows])[w.rows], t) for w, t in zip(where, types, strict=True)
    ]
    have = _genes_with_values(atlas, where, meant.values)
    listed = read_pairs(table, lambda name: name in atlas.genes, meant.resource)
    pairs = [(p, found) for p in listed if (found := _places(atlas, p, have)) is not None]
    if not pairs:
        raise BadRequest(
            f"No pair of the table '{table.name}' has all its genes {meant.values} here.",
            "Choose a table of the same species, or other sections.",
        )
    flat = np.concatenate(types)
    values = _values(atlas, where, meant.values)
    rows: list[dict[str, Any]] = []
    random: list[LigandTest] = []
    directions = [(a, b), (b, a)] if a != b else [(a, b)]
    for k, (sender, receiver) in enumerate(directions):
        part = ctx.part(k / len(directions), (k + 1) / len(directions))
        meeting = meet(patches, sender, receiver, params.radius_um)
        places = [found for _, found in pairs]
        is_a, is_b = flat == sender, flat == receiver
        tests = compare_pairs(meeting, is_a, is_b, places, values, params, part)
        rows += _rows(atlas, tests, pairs, (sender, receiver), key, meant.values)
        chance = _random_pairs(have, params.seed)
        random += compare_pairs(meeting, is_a, is_b, chance, values, params)
    _adjust(rows, params.rate)
    random_called = _against_random(rows, random)
    return {
        "label": str(key),
        "a": _name(atlas, key, a),
        "b": _name(atlas, key, b),
        "region": meant.region,
        "values": meant.values,
        "unit": UNITS[meant.values],
        "table": table.name,
        "params": ligand_params_record(params),
        "sections": sections,
        "n_cells": len(flat),
        "n_pairs": len(listed),
        "n_tested": len(pairs),
        "n_random": len(random),
        "random_called": random_called,
        "caution": CAUTION,
        "rows": rows,
    }


def _code(atlas: Atlas, key: LayerKey, name: str) -> int:
    names = [c.name for c in atlas.label(key.name).categories]
    for code, known in enumerate(names):
        if known.casefold() == name.casefold():
            return code
    raise BadRequest(
        f"{key} has no class '{name[:60]}'.",
        did_you_mean(name[:60], names) or f"Classes are {', '.join(names[:8])}, ...",
    )


def _name(atlas: Atlas, key: LayerKey, code: int) -> str:
    return atlas.label(key.name).categories[code].name


def _cells(
    atlas: Atlas, meant: Meant, key: LayerKey, params: LigandParams
) -> tuple[list[Where], list[dict[str, Any]]]:
    """Return the cells to test: of sections with values of this kind."""
    named = list(meant.sections)
    embedding = atlas.embedding("cell")
    embedded = frozenset() if embedding is None else embedding.sections
    able = embedded if meant.values == "imputed" else {i.id for i in atlas.sections() if i.n_genes}
    wrong = [name for name in named if atlas.section(name).id not in able]
    if wrong:
        raise UnknownLayer(
            f"Section '{wrong[0]}' has no {meant.values} genes.",
            "Embed the atlas, or choose sections with expression.",
        )
    infos, _ = usable_sections(atlas, named, key, params.radius_um)
    infos = [info for info in infos if info.id in able]
    if not infos:
        raise UnknownLayer(
            f"No section with {key} has {meant.values} genes.", "Embed the atlas first."
        )
    where = [w for info in infos for w in regions_of(atlas, info, meant.region)]
    return where, [{"id": i.id, "title": i.title, "n_cells": i.n_cells} for i in infos]


def _genes_with_values(atlas: Atlas, where: Sequence[Where], kind: Kind) -> set[int]:
    """Return the genes that every cell has a value of."""
    if kind == "imputed":
        embedding = atlas.genes.embedding
        assert embedding is not None
        return set(np.flatnonzero(np.any(embedding, axis=1)).tolist())
    shared: set[int] | None = None
    for info in {w.info.id: w.info for w in where}.values():
        expression = atlas.expression(info.id)
        own = set() if expression is None else set(expression.genes.tolist())
        shared = own if shared is None else shared & own
    return shared or set()


def _places(atlas: Atlas, pair: LigandPair, have: set[int]) -> tuple[list[int], list[int]] | None:
    """Return the places of a pair's genes; None where one has no values."""
    sides = []
    for genes in (pair.ligand, pair.receptor):
        if any(g not in atlas.genes for g in genes):
            return None
        places = [atlas.genes.index(g) for g in genes]
        if not have.issuperset(places):
            return None
        sides.append(places)
    return sides[0], sides[1]


def _values(atlas: Atlas, where: Sequence[Where], kind: Kind) -> Values:
    """Return what gives the values of genes for all cells of ``where``, in their order."""
    genes = atlas.genes
    if kind == "imputed":
        cell = atlas.embedding("cell")
        assert cell is not None
        assert genes.embedding is not None
        assert genes.offset is not None
        latent = np.concatenate([np.asarray(cell.values[w.info.rows])[w.rows] for w in where])
        scaled = latent.astype(np.float32) * cell.scale
        table, offset = genes.embedding, genes.offset
        # The floor at zero is that of every imputed value of the product.
        return lambda g: np.maximum(scaled @ table[g].T + offset[g], 0.0)
    counts = _measured(atlas, where)
    return lambda g: counts[:, g].toarray()


def _measured(atlas: Atlas, where: Sequence[Where]) -> csr_matrix:
    """Return log-normalised measured values, (cells, genes of the atlas), sparse."""
    parts = []
    for w in where:
        expression = atlas.expression(w.info.id)
        assert expression is not None
        x = normalised(expression.matrix(), "counts" in w.info.unit)[w.rows]
        shape = (x.shape[0], len(atlas.genes))
        parts.append(csr_matrix((x.data, expression.genes[x.indices], x.indptr), shape=shape))
    return csr_matrix(vstack(parts)).tocsc()


def _rows(
    atlas: Atlas,
    tests: Sequence[LigandTest],
    pairs: Sequence[tuple[LigandPair, tuple[list[int], list[int]]]],
    types: tuple[int, int],
    key: LayerKey,
    kind: Kind,
) -> list[dict[str, Any]]:
    sender, receiver = (_name(atlas, key, code) for code in types)
    out = []
    for test in tests:
        pair, (ligand, receptor) = pairs[test.place]
        trust = [
            _trust(atlas, genes) if kind == "imputed" else None for genes in (ligand, receptor)
        ]
        out.append(
            {
                "sender": sender,
                "receiver": receiver,
                "ligand": [atlas.genes.symbol[g] for g in ligand],
                "receptor": [atlas.genes.symbol[g] for g in receptor],
                "pathway": pair.pathway,
                "n_touching": test.n_touching,
                "n_apart": test.n_apart,
                "mean_touching": test.mean_touching,
                "mean_apart": test.mean_apart,
                "effect": test.effect,
                "t": test.t,
                "p": test.p,
                "r_ligand": None if trust[0] is None else trust[0].figure,
                "r_receptor": None if trust[1] is None else trust[1].figure,
                "weak": kind == "imputed" and any(t is None or t.grade == "weak" for t in trust),
                "spill": test.may_be_spill,
            }
        )
    return out


def _trust(atlas: Atlas, genes: Sequence[int]) -> Trust | None:
    """Return the held-out figure of the least trusted gene; None where one has none."""
    table = atlas.genes.trust
    if table is None or not np.isfinite(table[list(genes), :2]).all():
        return None
    worst = min(genes, key=lambda g: float(table[g, 0]))
    return Trust(float(table[worst, 0]), float(table[worst, 1]), "held-out r", "kNN", "")


def _adjust(rows: list[dict[str, Any]], rate: float) -> None:
    """Put q, over both directions together, and the call into each row; sort by effect."""
    q = adjusted([row["p"] for row in rows])
    for row, value in zip(rows, q, strict=True):
        row["q"] = float(value)
        row["significant"] = bool(value < rate)
    rows.sort(key=lambda row: (-row["significant"], -row["effect"]))


def _random_pairs(have: set[int], seed: int) -> list[tuple[list[int], list[int]]]:
    """Return pairs of genes drawn at random from those with values."""
    genes = np.random.default_rng(seed).choice(sorted(have), (RANDOM, 2))
    return [([int(a)], [int(b)]) for a, b in genes]


def _against_random(rows: list[dict[str, Any]], random: Sequence[LigandTest]) -> float:
    """Put the share of random pairs with as high a t into each row; return the share called.

    Imputed genes are sums of a few shared dimensions: where touching cells differ in one of these,
    most genes differ, and a call says little of a ligand.
    """
    t = np.sort([test.t for test in random])
    for row in rows:
        row["background"] = float(1 - np.searchsorted(t, row["t"]) / len(t))
    worst = max((row["p"] for row in rows if row["significant"]), default=0.0)
    return float(np.mean([test.p <= worst for test in random]))
