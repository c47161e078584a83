"""Tables of (section, class): cells, and the sum of their embeddings. All questions start here.

The mean of an imputed gene over any cells is ``offset + (mean embedding) . gene``, so these sums
answer it for every gene at once, exactly, without a look at the cells.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.analysis.sums import add_cells
from backend.core.data import SectionInfo
from backend.store.atlas import Atlas

#: Rows that are read at once: their embeddings fit a processor's cache.
BLOCK = 1 << 15
#: Editions whose tables are kept on disk.
MOST_EDITIONS = 4
#: Name of the table of an atlas without labels.
NO_LABEL = ""


@dataclass(frozen=True, slots=True)
class ClassTable:
    """One row per class that a section has, ordered by section, then class.

    Parameters
    ----------
    section : (p,) int32
        Place of the section in storage order.
    code : (p,) int16
        Class, -1 for the cells without one.
    count : (p,) int64
        Cells.
    total : (p, d) int64
        Sum of their int8 embeddings; d is 0 where the atlas has none.
    """

    section: NDArray[np.int32]
    code: NDArray[np.int16]
    count: NDArray[np.int64]
    total: NDArray[np.int64]

    def rows_of(self, section: int) -> slice:
        """Return the rows of a section."""
        first, last = np.searchsorted(self.section, [section, section + 1])
        return slice(int(first), int(last))


def class_tables(atlas: Atlas, folder: Path | None) -> dict[str, ClassTable]:
    """Return the table of each label, from disk where this edition has been read before.

    Parameters
    ----------
    atlas : Atlas
    folder : Path or None
        Where tables are kept, one folder per edition; None to keep none.

    Returns
    -------
    dict of label to ClassTable
        One table named ``""`` where the atlas has no labels.
    """
    names = atlas.labels() or (NO_LABEL,)
    if folder is None:
        return make_tables(atlas)
    kept = folder / atlas.edition
    found = _read(kept, names)
    if found is None:
        _write(kept, make_tables(atlas))
        found = _read(kept, names)
    return found or make_tables(atlas)


def make_tables(atlas: Atlas) -> dict[str, ClassTable]:
    """Return the table of each label, in one pass over the rows of the atlas."""
    sizes = {name: len(atlas.label(name).categories) for name in atlas.labels()} or {NO_LABEL: 0}
    parts: dict[str, list[ClassTable]] = {name: [] for name in sizes}
    for place, info in enumerate(atlas.sections()):
        for name, part in _section_tables(atlas, place, info, sizes).items():
            parts[name].append(part)
    return {name: _joined(found) for name, found in parts.items()}


def _section_tables(
    atlas: Atlas, place: int, info: SectionInfo, sizes: dict[str, int]
) -> dict[str, ClassTable]:
    embedding = atlas.embedding("cell")
    d = 0 if embedding is None else len(embedding.scale)
    sums = {
        name: (np.zeros(n + 1, np.int64), np.zeros((n + 1, d), np.int64))
        for name, n in sizes.items()
    }
    for start in range(info.first, info.rows.stop, BLOCK):
        rows = slice(start, min(start + BLOCK, info.rows.stop))
        n = rows.stop - rows.start
        cells = np.empty((n, 0), np.int8) if embedding is None else embedding.values[rows]
        for name, (count, total) in sums.items():
            codes = np.full(n, -1, np.int16) if name == NO_LABEL else atlas.label(name).codes[rows]
            add_cells(np.array(codes, dtype=np.int16), np.array(cells), count, total)
    return {name: _occupied(place, *found) for name, found in sums.items()}


def _occupied(place: int, count: NDArray[np.int64], total: NDArray[np.int64]) -> ClassTable:
    at = np.flatnonzero(count)
    section = np.full(len(at), place, np.int32)
    return ClassTable(section, (at - 1).astype(np.int16), count[at], total[at])


def _joined(parts: list[ClassTable]) -> ClassTable:
    if not parts:
        empty = np.empty(0, np.int64)
        return ClassTable(
            empty.astype(np.int32), empty.astype(np.int16), empty, np.empty((0, 0), np.int64)
        )
    return ClassTable(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(ClassTable))
    )


def _read(folder: Path, names: tuple[str, ...]) -> dict[str, ClassTable] | None:
    """Return the tables of a folder as memory maps, None where any is missing or damaged."""
    try:
        return {name: _read_one(folder / str(i)) for i, name in enumerate(names)}
    except (OSError, ValueError, EOFError):
        return None


def _read_one(folder: Path) -> ClassTable:
    found = [
        np.load(folder / f"{f.name}.npy", mmap_mode="r", allow_pickle=False)
        for f in fields(ClassTable)
    ]
    if len({len(array) for array in found}) != 1:
        raise ValueError(f"{folder}: arrays of different lengths")
    return ClassTable(*found)


def _write(folder: Path, tables: dict[str, ClassTable]) -> None:
    """Write tables beside their place and move them there; drop those of old editions."""
    if any(table.total.size == 0 for table in tables.values()):
        return  # nothing to map, and made again in a moment
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    for i, table in enumerate(tables.values()):
        (beside / str(i)).mkdir()
        for f in fields(ClassTable):
            np.save(beside / str(i) / f"{f.name}.npy", getattr(table, f.name), allow_pickle=False)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        beside.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(beside, ignore_errors=True)
    _drop_old(folder.parent)


def _drop_old(folder: Path) -> None:
    with suppress(FileNotFoundError):
        kept = [p for p in folder.iterdir() if not p.name.startswith(".")]
        for old in sorted(kept, key=lambda p: p.stat().st_mtime)[:-MOST_EDITIONS]:
            shutil.rmtree(old, ignore_errors=True)
