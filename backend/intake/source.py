"""One file opened: its table of cells, coordinates, genes and counts, whatever the format.

Nothing is judged here but what makes the file unreadable; counts are read when asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import BadFile, Fault, did_you_mean
from backend.intake.mapping import COUNTS, ENSEMBL, OBS_PAIRS, OBSM, SYMBOLS, ReadMapping
from backend.intake.stored import StoredCounts

#: Suffixes that are read as tables of labels.
TABLES = (".parquet", ".csv", ".tsv")
#: How the fault of missing coordinates begins.
NO_COORDINATES = "there are no coordinates"
_SAVE = "Save it again with anndata: adata.write_h5ad(...)."


@dataclass(slots=True)
class Source:
    """What a file holds, as far as it can be read; ``faults`` says what could not.

    Parameters
    ----------
    obs : DataFrame
        One row per cell.
    xy : (n, 2) float64 or None
        As in the file: not scaled, not turned.
    symbols, ensembl : tuple of str
        One entry per column of the counts; symbols may repeat.
    uns : mapping of str to str
    colours : mapping of column to colours of its categories, in their order
    counts : callable () -> StoredCounts and the name of its field
    """

    path: Path
    obs: pd.DataFrame
    xy: NDArray[np.float64] | None
    symbols: tuple[str, ...]
    ensembl: tuple[str, ...]
    uns: Mapping[str, str]
    colours: Mapping[str, list[str]]
    counts: Callable[[], tuple[StoredCounts, str]]
    faults: list[Fault] = field(default_factory=list)
    embedding: NDArray[np.float32] | None = None


@contextmanager
def opened(path: Path, mapping: ReadMapping) -> Iterator[Source]:
    """Open a file of a known suffix.

    Raises
    ------
    BadFile
        If it cannot be read at all.
    """
    if not path.is_file():
        raise BadFile(path.name, [Fault("there is no such file", str(path), "a file", "Check it.")])
    if path.suffix.lower() in TABLES:
        yield _table(path, mapping)
        return
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        fault = Fault(
            f"not an HDF5 file, or cut short ({str(error)[:120]})", "file",
            "an .h5ad file as anndata writes it", "Copy or download the file again.",
        )  # fmt: skip
        raise BadFile(path.name, [fault]) from error
    with file:
        yield source_of(path, file, mapping)


def source_of(path: Path, file: h5py.Group, mapping: ReadMapping) -> Source:
    """Return what an open h5ad file holds, or one modality of an open h5mu file."""
    faults: list[Fault] = []
    obs, var = (_frame(path, file, name) for name in ("obs", "var"))
    symbols, ensembl = _genes(var, mapping, faults)
    xy = _coordinates(file, obs, mapping, faults)
    uns = _texts(file)
    colours = {
        str(name).removesuffix("_colors"): [str(c) for c in _element(file["uns"][name])]
        for name in file.get("uns", ())
        if str(name).endswith("_colors")
    }
    n, g = len(obs), len(var)
    return Source(
        path, obs, xy, symbols, ensembl, uns, colours,
        lambda: _counts(path, file, mapping.counts, (n, g)), faults,
        _embedding(file, mapping, n, faults),
    )  # fmt: skip


def _table(path: Path, mapping: ReadMapping) -> Source:
    try:
        if path.suffix.lower() == ".parquet":
            obs = pd.read_parquet(path)
        else:
            obs = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except (OSError, ValueError, UnicodeDecodeError) as error:
        fault = Fault(
            f"cannot be read ({str(error)[:120]})", "file", "a table with one row per cell",
            "Save it again as parquet or csv.",
        )  # fmt: skip
        raise BadFile(path.name, [fault]) from error
    faults: list[Fault] = []
    xy = _coordinates(None, obs, mapping, faults)
    return Source(path, obs, xy, (), (), {}, {}, lambda: (_nothing(len(obs)), "none"), faults)


def _frame(path: Path, file: h5py.Group, name: str) -> pd.DataFrame:
    """Return obs or var."""
    try:
        frame = _element(file[name])
    except Exception as error:
        # anndata raises many classes here, KeyError and its own among them; all mean one thing.
        fault = Fault(
            f"cannot be read ({type(error).__name__}: {str(error)[:100]})", name,
            "a table as anndata writes it", _SAVE,
        )  # fmt: skip
        raise BadFile(path.name, [fault]) from error
    return pd.DataFrame(frame)


def _element(node: Any) -> Any:
    """Read one element of an h5ad file, of whatever version wrote it."""
    from anndata.io import read_elem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_elem(node)


def _texts(file: h5py.Group) -> dict[str, str]:
    """Return the entries of uns that are short texts."""
    if "uns" not in file:
        return {}
    nodes = {name: node for name, node in file["uns"].items() if isinstance(node, h5py.Dataset)}
    texts = {}
    for name, node in nodes.items():
        if node.shape == () and h5py.check_string_dtype(node.dtype) is not None:
            texts[name] = node.asstr()[()]
    return texts


def _genes(
    var: pd.DataFrame, mapping: ReadMapping, faults: list[Fault]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return symbols and Ensembl ids of the columns."""
    index = [str(name) for name in var.index]
    wanted = (mapping.symbol or "").removeprefix("var/")
    if wanted and wanted not in var and wanted != "var index":
        faults.append(missing_column("var", wanted, var))
    column = wanted if wanted in var else next((c for c in SYMBOLS if c in var), None)
    symbols = index
    if column is not None:
        own = var[column]
        symbols = [str(s) if ok else i for s, ok, i in zip(own, own.notna(), index, strict=True)]
    ids = next(([str(i) for i in var[c]] for c in ENSEMBL if c in var), index)
    ensembl = [i.split(".")[0] if i.startswith("ENS") else "" for i in ids]
    return tuple(symbols), tuple(ensembl)


def _coordinates(
    file: h5py.Group | None, obs: pd.DataFrame, mapping: ReadMapping, faults: list[Fault]
) -> NDArray[np.float64] | None:
    """Return the first two coordinates, or None, with a fault where they are needed."""
    obsm = file.get("obsm") if file is not None else None
    obsm = obsm if isinstance(obsm, h5py.Group) else {}
    tried = [mapping.xy] if mapping.xy else [f"obsm/{k}" for k in OBSM]
    tried += [] if mapping.xy else [f"obs/{x}, obs/{y}" for x, y in OBS_PAIRS]
    for place in tried:
        if place.startswith("obsm/") and place[5:] in obsm:
            values = np.asarray(_element(obsm[place[5:]]), dtype=np.float64)
            if values.ndim == 2 and values.shape[1] >= 2:
                return values[:, :2]
        columns = [part.strip().removeprefix("obs/") for part in place.split(",")]
        if len(columns) == 2 and all(c in obs for c in columns):
            numeric = [pd.to_numeric(obs[c], errors="coerce").to_numpy(np.float64) for c in columns]
            return np.column_stack(numeric)
    if not (mapping.need_places or mapping.xy):
        return None
    where = mapping.xy or "obsm['spatial']"
    there = f"; obsm has {', '.join(list(obsm)[:8])}" if len(obsm) else ""
    faults.append(
        Fault(
            f"{NO_COORDINATES}{there}",
            where,
            "x and y per cell, micrometres",
            "Set adata.obsm['spatial'], or name the field in the configuration.",
        )  # fmt: skip
    )
    return None


def _embedding(
    file: h5py.Group, mapping: ReadMapping, n: int, faults: list[Fault]
) -> NDArray[np.float32] | None:
    """Return the embedding that the mapping names, or None."""
    if mapping.embedding is None:
        return None
    expected = "one row of finite numbers per cell"
    if mapping.embedding not in file:
        there = ", ".join(f"obsm/{key}" for key in list(file.get("obsm", ()))[:8]) or "no obsm"
        faults.append(
            Fault("there is no such field", mapping.embedding, expected, f"There is {there}.")
        )
        return None
    values = np.asarray(_element(file[mapping.embedding]), dtype=np.float32)
    if values.ndim != 2 or len(values) != n or not np.isfinite(values).all():
        what = f"the shape is {values.shape}, or values are not finite"
        faults.append(Fault(what, mapping.embedding, expected, "Embed the cells again."))
        return None
    return values


def _counts(
    path: Path, file: h5py.Group, wanted: str | None, shape: tuple[int, int]
) -> tuple[StoredCounts, str]:
    """Return the counts of a file: the field asked for, or the first that looks raw."""
    present = [field for field in ([wanted] if wanted else COUNTS) if field in file]
    if not present:
        if wanted is None:
            return _nothing(shape[0]), "none"
        fault = Fault(
            "there is no such field", wanted, "a matrix of cells x genes", "Correct the name."
        )
        raise BadFile(path.name, [fault])
    first: tuple[StoredCounts, str] | None = None
    for name in present:
        matrix = StoredCounts(file[name])
        if matrix.shape != shape:
            continue
        if wanted or matrix.judged.are_counts:
            return matrix, name
        if first is None or name == "X":
            first = matrix, name
    if first is None:
        fault = Fault(
            "the shape is not that of obs and var", present[0], f"{shape[0]} x {shape[1]}", _SAVE
        )
        raise BadFile(path.name, [fault])
    return first


def _nothing(n: int) -> StoredCounts:
    """Return the counts of n cells that were not measured."""
    return StoredCounts(csr_matrix((n, 0), dtype=np.float32))


def missing_column(where: str, name: str, frame: pd.DataFrame) -> Fault:
    """Return the fault of a column that the mapping names and the file lacks."""
    there = [str(c) for c in frame.columns]
    hint = did_you_mean(name, there) or f"There are {', '.join(there[:8]) or 'no columns'}."
    return Fault(f"there is no column '{name}'", where, "the column of the configuration", hint)
