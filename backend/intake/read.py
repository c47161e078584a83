"""Sections from files: h5ad files and tables of labels become ``SectionData``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import Label, SectionData
from backend.core.errors import BadFile, Fault
from backend.core.geometry import Bounds
from backend.core.layers import LayerKey
from backend.intake.labels import MOST_CATEGORIES, guess_labels, label_of, with_parents
from backend.intake.mapping import LabelMap, ReadMapping, safe_id
from backend.intake.source import Source, missing_column, opened
from backend.intake.stored import StoredCounts

#: Columns that tell sections apart when the mapping names none.
SECTION_COLUMNS = ("section", "brain_section_label", "slice", "sample")


@dataclass(frozen=True, slots=True)
class SectionScan:
    """What a look at a file tells of one of its sections, without keeping its cells.

    ``fields`` are further fields of ``SectionInfo``: title, dataset, technology and so on.
    """

    id: str
    n_cells: int
    extent: Bounds
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileScan:
    """What a look at a file tells: its sections, its genes (symbol to Ensembl id), its counts.

    ``reach`` is the largest size of the embedding in each dimension, None where there is none;
    ``mapping`` is what the file was read with, with the field of the counts and their unit, so
    that reading the sections needs no second look at all values.
    """

    path: Path
    sections: tuple[SectionScan, ...]
    genes: dict[str, str]
    mapping: ReadMapping
    reach: NDArray[np.float32] | None = None


def read_h5ad(
    path: Path, mapping: ReadMapping | None = None, only: Collection[str] | None = None
) -> list[SectionData]:
    """Return the sections of an h5ad file.

    Parameters
    ----------
    path : Path
    mapping : ReadMapping, optional
        What it leaves open is guessed.
    only : collection of str, optional
        Ids of the sections wanted; all where None.

    Raises
    ------
    BadFile
        With all that is wrong with the file.
    """
    return list(each_section(path, mapping, only))


def each_section(
    path: Path,
    mapping: ReadMapping | None = None,
    only: Collection[str] | None = None,
    checked: bool = False,
) -> Iterator[SectionData]:
    """Yield the sections of a file, one in memory at a time; as ``read_h5ad``.

    Parameters
    ----------
    checked : bool
        The mapping is that of a scan of this file: its values need no second look.
    """
    wanted = mapping or ReadMapping()
    with opened(path, wanted) as source:
        parts, faults = _parts(source, wanted)
        _raise(path, faults)
        matrix, place = source.counts()
        if not checked:
            _raise(path, check_counts(matrix, place))
        labels = wanted.labels if wanted.labels is not None else guess_labels(source.obs)
        unit = wanted.unit or _unit(matrix)
        wanted = replace(wanted, labels=with_parents(source.obs, labels), unit=unit)
        for section_id, name, rows in parts:
            if only is None or section_id in only:
                yield _section(source, wanted, section_id, name, rows, matrix)


def read_table(
    path: Path, mapping: ReadMapping | None = None, only: Collection[str] | None = None
) -> list[SectionData]:
    """Return the sections of a parquet or csv table of labels; they have no genes.

    Parameters and errors as for ``read_h5ad``.
    """
    return read_h5ad(path, mapping, only)


def scan_file(path: Path, mapping: ReadMapping | None = None) -> FileScan:
    """Return the sections and genes of a file after checking all of it.

    Raises
    ------
    BadFile
        With all that is wrong with the file, cells and counts included.
    """
    wanted = mapping or ReadMapping()
    with opened(path, wanted) as source:
        parts, faults = _parts(source, wanted)
        faults += [f for _, name, rows in parts for f in _repeated(source, wanted, name, rows)]
        notes = list(wanted.notes)
        matrix, place = source.counts()
        faults += check_counts(matrix, place)
        _raise(path, faults)
        symbols = source.symbols if matrix.shape[1] else ()
        genes: dict[str, str] = {}
        for symbol, ensembl in zip(symbols, source.ensembl, strict=False):
            genes[symbol] = genes.get(symbol) or ensembl
        n_twice = len(symbols) - len({s.casefold() for s in symbols})
        if n_twice:
            notes.append(f"{n_twice} columns with a gene that another column has were added up.")
        sections = tuple(
            SectionScan(section_id, len(rows), _extent(_placed(source, wanted, rows)),
                        _fields(source, wanted, name, rows, notes))
            for section_id, name, rows in parts
        )  # fmt: skip
        field = place if place != "none" else wanted.counts
        known = replace(wanted, counts=field, unit=wanted.unit or _unit(matrix))
        z = source.embedding
        reach = None if z is None else np.abs(z).max(axis=0, initial=0.0)
        return FileScan(path, sections, genes, known, reach)


def _unit(matrix: StoredCounts) -> str:
    return "counts" if matrix.judged.are_counts else "normalised"


def summed(matrix: csr_matrix, symbols: tuple[str, ...]) -> tuple[csr_matrix, tuple[str, ...]]:
    """Return the counts with columns of one symbol (ignoring case) added up."""
    places: dict[str, int] = {}
    names: list[str] = []
    for symbol in symbols:
        if places.setdefault(symbol.casefold(), len(names)) == len(names):
            names.append(symbol)
    if len(names) == len(symbols):
        return matrix, symbols
    target = [places[s.casefold()] for s in symbols]
    one = np.ones(len(symbols), np.float32)
    add = csr_matrix((one, (np.arange(len(symbols)), target)), shape=(len(symbols), len(names)))
    return csr_matrix(matrix @ add).astype(np.float32), tuple(names)


def check_counts(matrix: StoredCounts, place: str) -> list[Fault]:
    """Return what is wrong with the values of a matrix."""
    faults = []
    bad, negative, least = matrix.judged[:3]
    if bad:
        faults.append(Fault(f"{bad:,} values are not finite", place, "numbers from zero up",
                            "Replace them, or choose another matrix."))  # fmt: skip
    if negative:
        faults.append(Fault(f"{negative:,} values are below zero (down to {least:.3g})", place,
                            "raw counts", "Give the raw counts, not scaled values."))  # fmt: skip
    return faults


def _parts(
    source: Source, mapping: ReadMapping
) -> tuple[list[tuple[str, str, NDArray[np.int64]]], list[Fault]]:
    """Return (id, name, rows) of each section, and what is wrong with the table of cells."""
    obs, faults = source.obs, list(source.faults)
    needed = [mapping.section, mapping.names]
    needed += [m.column for m in (mapping.labels or {}).values()] + list(mapping.numbers.values())
    needed += [mapping.position] if isinstance(mapping.position, str) else []
    needed += [mapping.animal[4:]] if mapping.animal.startswith("obs/") else []
    faults += [missing_column("obs", str(n), obs) for n in needed if n and n not in obs]
    if len(obs) < 2:
        faults.append(Fault(f"there are {len(obs)} cells", "obs", "at least two cells",
                            "Give the whole section."))  # fmt: skip
    if source.xy is not None:
        bad = int(np.count_nonzero(~np.isfinite(source.xy).all(axis=1)))
        if bad:
            faults.append(Fault(f"{bad:,} of {len(obs):,} cells have no coordinates (NaN)",
                                mapping.xy or "coordinates", "finite numbers",
                                "Leave these cells out."))  # fmt: skip
    for label in (mapping.labels or {}).values():
        n = obs[label.column].nunique() if label.column in obs else 0
        if n > MOST_CATEGORIES:
            faults.append(Fault(f"{n:,} different values", f"obs['{label.column}']",
                                f"at most {MOST_CATEGORIES:,} classes",
                                "Name another column."))  # fmt: skip
    column = mapping.section or next((c for c in SECTION_COLUMNS if c in obs), None)
    if column is None or column not in obs:
        groups: Iterable[tuple[str, NDArray[np.int64]]] = [("", np.arange(len(obs)))]
    else:
        values = obs[column].astype(str).to_numpy()
        kept = sorted((mapping.only or set(values.tolist())) - mapping.skip)
        absent = sorted((mapping.only | mapping.skip) - set(values.tolist()))
        if absent:
            faults.append(Fault(f"there is no section '{absent[0]}'", f"obs['{column}']",
                                "the sections of the configuration",
                                "Correct its name."))  # fmt: skip
        order = np.argsort(values, kind="stable")
        firsts = np.searchsorted(values[order], kept)
        lasts = np.searchsorted(values[order], kept, side="right")
        spans = zip(kept, firsts, lasts, strict=True)
        groups = [(name, order[a:b]) for name, a, b in spans]
    return [(_id(source, mapping, name), name, rows) for name, rows in groups], faults


def _id(source: Source, mapping: ReadMapping, name: str) -> str:
    template = mapping.id or ("{section}" if name else "{file}")
    return safe_id(template.format(section=name, file=source.path.stem))


def _repeated(
    source: Source, mapping: ReadMapping, name: str, rows: NDArray[np.int64]
) -> list[Fault]:
    """Return a fault if ids of cells repeat within a section."""
    if mapping.names is None and isinstance(source.obs.index, pd.RangeIndex):
        return []
    names = pd.Series(_names(source, mapping, rows))
    twice = names[names.duplicated()]
    if not len(twice):
        return []
    what = f"{len(twice):,} ids of cells repeat in section '{name}', like {twice.iloc[0]}"
    return [Fault(what,
                  "obs index", "an id of its own for every cell",
                  "adata.obs_names_make_unique()")]  # fmt: skip


def _names(source: Source, mapping: ReadMapping, rows: NDArray[np.int64]) -> NDArray[Any]:
    if mapping.names is not None and mapping.names in source.obs:
        return source.obs[mapping.names].to_numpy()[rows].astype(str).astype(object)
    return source.obs.index.to_numpy()[rows].astype(str).astype(object)


def _placed(source: Source, mapping: ReadMapping, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return coordinates scaled, mirrored and turned as the mapping says, (n, 2) float32.

    They are nan where the file has none and need not.
    """
    if source.xy is None:
        return np.full((len(rows), 2), np.nan, dtype=np.float32)
    xy = source.xy[rows] * mapping.scale
    xy = xy * np.array([-1.0 if mapping.flip_x else 1.0, -1.0 if mapping.flip_y else 1.0])
    if mapping.rotate:
        angle = np.deg2rad(mapping.rotate)
        cosine, sine = np.cos(angle), np.sin(angle)
        # y grows downwards, so this turns clockwise on a screen.
        xy = xy @ np.array([[cosine, sine], [-sine, cosine]])
    return np.ascontiguousarray(xy, dtype=np.float32)


def _extent(xy: NDArray[np.float32]) -> Bounds:
    low, high = xy.min(axis=0), xy.max(axis=0)
    return Bounds(float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _fields(
    source: Source, mapping: ReadMapping, name: str, rows: NDArray[np.int64], notes: list[str]
) -> dict[str, Any]:
    """Return the fields of ``SectionInfo`` that the file or the mapping knows."""
    uns = source.uns
    position, animal = mapping.position, mapping.animal
    if isinstance(position, str):
        position = float(np.float32(source.obs[position].iloc[rows[0]]).astype(str))
    if animal.startswith("obs/"):
        animal = str(source.obs[animal[4:]].iloc[rows[0]])
    return {
        "title": (mapping.title or "{section}").format(section=name, file=source.path.stem)
        or source.path.stem,
        "dataset": mapping.dataset or uns.get("dataset", source.path.stem),
        "technology": mapping.technology or uns.get("technology", ""),
        "species": mapping.species or uns.get("organism", "mouse"),
        "xy_unit": mapping.xy_unit,
        "axis": mapping.axis,
        "position": position,
        "animal": animal,
        "licence": mapping.licence or uns.get("licence", ""),
        "citation": mapping.citation or uns.get("citation", ""),
        "notes": tuple(notes),
    }


def _section(
    source: Source,
    mapping: ReadMapping,
    section_id: str,
    name: str,
    rows: NDArray[np.int64],
    matrix: StoredCounts,
) -> SectionData:
    fields = _fields(source, mapping, name, rows, [])
    counts, symbols = summed(matrix.rows(rows), source.symbols if matrix.shape[1] else ())
    obs = source.obs.iloc[rows]
    return SectionData(
        id=section_id,
        title=fields["title"],
        xy=_placed(source, mapping, rows),
        counts=counts,
        genes=symbols,
        names=_names(source, mapping, rows),
        labels={role: _label(obs, label, source) for role, label in (mapping.labels or {}).items()},
        numbers={
            LayerKey.parse(key): pd.to_numeric(obs[column], errors="coerce").to_numpy(np.float32)
            for key, column in mapping.numbers.items()
        },
        unit=(mapping.unit or "counts") if symbols else "none",
        xy_unit=mapping.xy_unit,
        technology=fields["technology"],
        dataset=fields["dataset"],
        species=fields["species"],
        embedding=None if source.embedding is None else source.embedding[rows],
    )


def _label(obs: pd.DataFrame, label: LabelMap, source: Source) -> Label:
    return label_of(obs[label.column], label, source.colours.get(label.column, ()))


def _raise(path: Path, faults: list[Fault]) -> None:
    if faults:
        raise BadFile(path.name, faults)
