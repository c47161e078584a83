"""Fields of an open h5ad file: matrices by their declared shape, columns and names by blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

#: Values and names read at once.
BLOCK = 2_000_000
NAMES = 4096


class Unreadable(ValueError):
    """A field that is not what its name promises; the message says how."""


MatrixKind = Literal["dense", "csr", "csc"]
#: First letters of a sparse matrix's encoding, and what it is.
SPARSE: dict[str, MatrixKind] = {"csr": "csr", "csc": "csc"}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix of the file, not read yet.

    Parameters
    ----------
    field : str
        Such as ``X`` or ``layers/counts``.
    kind : str
        "dense", "csr" (by cell) or "csc" (by gene).
    shape : (int, int)
        Cells, genes.
    nonzeros : int
        Stored values.
    """

    field: str
    kind: MatrixKind
    node: Any
    shape: tuple[int, int]
    nonzeros: int

    @property
    def values(self) -> Any:
        """Dataset of the stored values."""
        return self.node if self.kind == "dense" else self.node["data"]


def matrix_at(file: h5py.File, field: str) -> Matrix | None:
    """Return the matrix of a field by its header, or None where the field is absent.

    Raises
    ------
    Unreadable
        If the field is there, but no matrix.
    """
    if field not in file:
        return None
    node = file[field]
    if isinstance(node, h5py.Dataset):
        if node.ndim != 2 or node.dtype.kind not in "fiub":
            raise Unreadable(f"{field} is no matrix of numbers")
        return Matrix(field, "dense", node, (node.shape[0], node.shape[1]), int(node.size))
    encoding = _text(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "")))
    kind = SPARSE.get(encoding[:3])
    shape = np.asarray(node.attrs.get("shape", node.attrs.get("h5sparse_shape", ())))
    parts = [node.get(name) for name in ("data", "indices", "indptr")]
    if kind is None or shape.shape != (2,):
        raise Unreadable(f"{field} is neither a matrix nor a sparse matrix")
    if not all(isinstance(p, h5py.Dataset) and p.ndim == 1 for p in parts):
        raise Unreadable(f"{field} lacks one of data, indices, indptr")
    data, indices, indptr = parts
    if (
        indices.dtype.kind not in "iu"
        or indptr.dtype.kind not in "iu"
        or data.dtype.kind not in "fiub"
    ):
        raise Unreadable(f"{field} has values or places that are no numbers")
    if len(data) != len(indices):
        raise Unreadable(f"{field} has {len(data):,} values but {len(indices):,} places")
    return Matrix(field, kind, node, (int(shape[0]), int(shape[1])), len(data))


def check_sparse(matrix: Matrix) -> None:
    """Raise Unreadable if rows or places of a sparse matrix lie outside it; reads all of them."""
    if matrix.kind == "dense":
        return
    major, minor = matrix.shape if matrix.kind == "csr" else matrix.shape[::-1]
    indptr, indices = matrix.node["indptr"], matrix.node["indices"]
    if len(indptr) != major + 1:
        raise Unreadable(f"{matrix.field}/indptr has {len(indptr):,} entries, not {major + 1:,}")
    ends = indptr[:].astype(np.int64)
    if ends[0] != 0 or ends[-1] != matrix.nonzeros or np.any(np.diff(ends) < 0):
        raise Unreadable(f"{matrix.field}/indptr does not grow from 0 to {matrix.nonzeros:,}")
    for start in range(0, matrix.nonzeros, BLOCK):
        block = indices[start : start + BLOCK]
        if block.min() < 0 or block.max() >= minor:
            raise Unreadable(f"{matrix.field}/indices points outside the {minor:,} columns")


def value_blocks(matrix: Matrix, most: int) -> Iterator[NDArray[Any]]:
    """Yield the stored values in blocks: all of them, or about ``most`` evenly spread."""
    data = matrix.values
    step = BLOCK if matrix.kind != "dense" else max(1, BLOCK // max(1, matrix.shape[1]))
    starts = range(0, data.shape[0], step)
    per_block = min(BLOCK, max(1, matrix.nonzeros))
    kept = max(1, most // per_block)
    chosen = starts if len(starts) <= kept else starts[:: -(-len(starts) // kept)]
    for start in chosen:
        yield data[start : start + step]


def index_of(frame: h5py.Group) -> Any:
    """Return the field of a table (obs or var) that holds its names, or None."""
    name = _text(frame.attrs.get("_index", "_index"))
    for candidate in (name, "_index", "index"):
        if candidate in frame:
            return frame[candidate]
    return None


def length_of(node: Any) -> int:
    """Return how many entries a column has, by its header."""
    if isinstance(node, h5py.Dataset):
        return int(node.shape[0]) if node.ndim == 1 else 0
    for part in ("codes", "values"):
        if isinstance(node, h5py.Group) and isinstance(node.get(part), h5py.Dataset):
            return length_of(node[part])
    return 0


def is_text(node: Any) -> bool:
    """Whether a column holds text, plain or as categories."""
    if isinstance(node, h5py.Dataset):
        return h5py.check_string_dtype(node.dtype) is not None
    if isinstance(node, h5py.Group):
        return any(part in node and is_text(node[part]) for part in ("categories", "values"))
    return False


def texts(node: Any, longest: int) -> list[str]:
    """Return a text column, block by block.

    Raises
    ------
    Unreadable
        If an entry is longer than ``longest`` characters, or a code points outside.
    """
    if isinstance(node, h5py.Group) and "categories" in node:
        known = texts(node["categories"], longest)
        codes = node["codes"][:]
        if len(codes) and codes.max() >= len(known):
            raise Unreadable("a code points outside its categories")
        return [known[c] if c >= 0 else "" for c in codes]
    if isinstance(node, h5py.Group):
        return texts(node["values"], longest)
    found: list[str] = []
    for start in range(0, node.shape[0], NAMES):
        block = node.asstr(errors="replace")[start : start + NAMES]
        found.extend(block.tolist())
        if any(len(text) > longest for text in block):
            raise Unreadable(f"an entry is longer than {longest} characters")
    return found


def numbers(node: Any) -> NDArray[np.float64] | None:
    """Return a column of numbers, or None where it holds something else."""
    if isinstance(node, h5py.Dataset) and node.ndim == 1 and node.dtype.kind in "fiu":
        return np.asarray(node[:], dtype=np.float64)
    return None


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
