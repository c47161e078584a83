"""The last steps of writing an atlas: joined labels, names, pyramid, root attributes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest
from backend.core.layers import MISSING, Category, LayerKey
from backend.store import flat, overview, pyramid, schema
from backend.store.colours import complete, natural
from backend.store.flat import Rows
from backend.store.morton import global_codes
from backend.store.root import WORK
from backend.store.section import categories_from_json, categories_to_json, section_to_json

Records = Mapping[str, Mapping[str, Any]]

#: Attribute of a plan that says how embeddings given with the sections are scaled and made.
EMBEDDED = "embedded"


def finish_atlas(
    folder: Path, attributes: Mapping[str, Any], planned: Sequence[SectionInfo]
) -> None:
    """Make a staging folder whose sections are all written into an atlas.

    May be repeated after it was interrupted.

    Parameters
    ----------
    folder : Path
        The staging folder; not renamed here.
    attributes : mapping
        Root attributes that are known from the plan.
    planned : sequence of SectionInfo
        In storage order.
    """
    done = folder / WORK / "done"
    records: Records = {i.id: json.loads((done / f"{i.id}.json").read_text()) for i in planned}
    infos = [
        replace(
            info,
            radius=records[info.id]["radius"],
            n_genes=records[info.id]["n_genes"],
            unit=records[info.id]["unit"],
        )
        for info in planned
    ]
    labels = _join_labels(folder, infos, records)
    numbers = _join_numbers(folder, infos, records)
    _join_names(folder, infos)
    embeddings = _join_embeddings(folder, infos, records, attributes)
    sizes = {name: len(categories) for name, (categories, _) in labels.items()}
    levels, bins = _write_pyramid(folder, infos, sizes, "cell" in embeddings)
    have = [schema.MORTON, schema.XY, schema.NAME_BYTES, schema.NAME_OFFSET, *bins]
    have += [schema.label_array(name) for name in labels]
    have += [schema.number_array(LayerKey.parse(text)) for text in numbers]
    have += [schema.embedding_array(name) for name in embeddings]
    have += [name for name in schema.GENE_TABLES if (folder / name).exists()]
    root = {
        **{name: value for name, value in attributes.items() if name != EMBEDDED},
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "sections": [section_to_json(info) for info in infos],
        "labels": {name: where for name, (_, where) in labels.items()},
        "numbers": numbers,
        "pyramid": levels,
        "arrays": {name: name for name in have},
    }
    for parent in _parents(have, infos):
        if parent != schema.GENES:
            flat.write_group(folder / parent, {})
    flat.write_group(folder, root)


def all_codes(infos: Iterable[SectionInfo], morton: Rows) -> NDArray[np.uint64]:
    """Return the global codes of all cells, ascending, (N,) uint64."""
    infos = list(infos)
    codes = np.empty(sum(info.n_cells for info in infos), np.uint64)
    for info in infos:
        codes[info.rows] = global_codes(info.slot, morton[info.rows])
    return codes


def join_categories(lists: Iterable[Iterable[Category]]) -> tuple[Category, ...]:
    """Return the union of categories by name, sorted by parent and name, with colours.

    Of two entries of one name, the first that states a colour or a parent counts.
    """
    union: dict[str, Category] = {}
    for category in (c for categories in lists for c in categories):
        known = union.get(category.name, category)
        union[category.name] = Category(
            category.name, known.colour or category.colour, known.parent or category.parent
        )
    if len(union) > np.iinfo(np.int16).max:
        raise BadRequest(
            f"A label has {len(union):,} categories.", "Use at most 32,767 categories per label."
        )
    key = {name: (natural(c.parent or name), natural(name), name) for name, c in union.items()}
    return complete(union[name] for name in sorted(union, key=lambda name: key[name]))


def recode(
    codes: NDArray[np.int16], old: Sequence[Category], new: Sequence[Category]
) -> NDArray[np.int16]:
    """Return codes into ``old`` as codes into ``new``, by name; missing stays missing."""
    places = {category.name: i for i, category in enumerate(new)}
    table = np.array([places[c.name] for c in old] + [MISSING], np.int16)
    return table[codes]


def _join_labels(
    folder: Path, infos: Sequence[SectionInfo], records: Records
) -> dict[str, tuple[tuple[Category, ...], list[str]]]:
    """Recode every label to the union of its categories; return those, and who has the label."""
    names = sorted({name for record in records.values() for name in record["labels"]})
    joined = {}
    for name in names:
        own = {
            info.id: categories_from_json(records[info.id]["labels"][name])
            for info in infos
            if name in records[info.id]["labels"]
        }
        categories = join_categories(own.values())
        logical = schema.label_array(name)
        # From a copy, and renamed, so that an interrupted run can be repeated.
        raw = folder / WORK / "raw" / logical
        if not raw.exists():
            raw.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / logical, raw)
        source = flat.read(raw)
        attributes = {
            "title": title_of(name),
            "categories": categories_to_json(categories),
            "provenance": None,
        }
        shutil.rmtree(folder / logical, ignore_errors=True)
        target = flat.create(folder / logical, source.shape, np.int16, attributes, fill=MISSING)
        for info in infos:
            if info.id in own:
                target[info.rows] = recode(source[info.rows], own[info.id], categories)
        joined[name] = (categories, list(own))
    return joined


def _join_numbers(
    folder: Path, infos: Sequence[SectionInfo], records: Records
) -> dict[str, list[str]]:
    """Record titles, units and spans of numeric layers; return the sections of each."""
    numbers: dict[str, list[str]] = {}
    for text in sorted({text for record in records.values() for text in record["spans"]}):
        key = LayerKey.parse(text)
        spans = {
            info.id: records[info.id]["spans"][text]
            for info in infos
            if text in records[info.id]["spans"]
        }
        units = (records[info.id].get("units", {}).get(text) for info in infos)
        unit = next(filter(None, units), "")
        attributes = {"title": title_of(key.name), "unit": unit, "spans": spans, "provenance": None}
        flat.set_attributes(folder / schema.number_array(key), attributes)
        numbers[text] = list(spans)
    return numbers


def title_of(name: str) -> str:
    """Return a layer's name as a heading."""
    return name[:1].upper() + name[1:].replace("_", " ")


def _join_names(folder: Path, infos: Sequence[SectionInfo]) -> None:
    """Join the ids of cells into one blob with offsets."""
    source = folder / WORK / "names"
    for logical in (schema.NAME_OFFSET, schema.NAME_BYTES):
        shutil.rmtree(folder / logical, ignore_errors=True)
    n = sum(info.n_cells for info in infos)
    offset = flat.create(folder / schema.NAME_OFFSET, (n + 1,), np.int64)
    for info in infos:
        lengths = np.cumsum(np.load(source / f"{info.id}.npy"))
        offset[info.first + 1 : info.first + 1 + info.n_cells] = offset[info.first] + lengths
    blob = flat.create(folder / schema.NAME_BYTES, (int(offset[n]),), np.uint8)
    for info in infos:
        part = slice(int(offset[info.first]), int(offset[info.first + info.n_cells]))
        blob[part] = np.frombuffer((source / f"{info.id}.bin").read_bytes(), np.uint8)


def _join_embeddings(
    folder: Path, infos: Sequence[SectionInfo], records: Records, attributes: Mapping[str, Any]
) -> list[str]:
    """Record scales and sections of the embeddings that were given; return their names."""
    about = attributes.get(EMBEDDED) or {}
    for name, scale in about.get("scale", {}).items():
        header = {
            "scale": scale,
            "sections": [i.id for i in infos if name in records[i.id].get("embedded", [])],
            "checkpoint": about["checkpoint"],
            "provenance": about["provenance"],
        }
        flat.set_attributes(folder / schema.embedding_array(name), header)
    return list(about.get("scale", {}))


def _write_pyramid(
    folder: Path, infos: Sequence[SectionInfo], sizes: Mapping[str, int], has_embedding: bool
) -> tuple[list[int], list[str]]:
    """Write the overview levels; return them and their arrays."""
    shutil.rmtree(folder / "pyramid", ignore_errors=True)
    codes = all_codes(infos, flat.read(folder / schema.MORTON))
    levels = pyramid.levels_to_keep(codes)
    written = []

    def create(logical: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        written.append(logical)
        return flat.create(folder / logical, shape, dtype)

    firsts = overview.write_bins(create, codes, levels)
    for name, size in sizes.items():
        of_cells = flat.read(folder / schema.label_array(name))[:]
        overview.write_tops(create, name, of_cells, size, firsts)
    if has_embedding:
        cells = flat.read(folder / schema.embedding_array("cell"))[:]
        overview.write_means(create, cells, firsts)
    return levels, written


def _parents(arrays: Iterable[str], infos: Iterable[SectionInfo]) -> set[str]:
    """Return the folders between the root and the arrays, which zarr wants to be groups."""
    parents = {str(p) for name in arrays for p in Path(name).parents if str(p) != "."}
    return parents | ({"expression"} if any(info.n_genes for info in infos) else set())
