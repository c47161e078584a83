"""What an HDF5 file declares, looked at before any of its data: links, filters, sizes.

A file of 1.4 kB can declare 240 TB, or point at another file of this machine. Nothing is read
here but headers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import h5py

from backend.core.settings import Limits
from backend.intake.findings import Finding

#: Groups and datasets that a file may have, and how deep they may lie.
OBJECTS = 20_000
DEPTH = 12
#: Bytes that one chunk may unpack to: it is unpacked whole to read one value.
CHUNK_BYTES = 512_000_000
#: HDF5's own filters, and lzf, blosc and zstd, which anndata may write.
FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000, 32001, 32015})
#: Problems of the same file that are listed before the rest is left out.
_LISTED = 12

#: First bytes of what people send instead, and what to say.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "The file is packed with gzip", "Unpack it (gunzip) and send the .h5ad file."),
    (b"PK\x03\x04", "The file is a zip archive", "Unpack it and send the .h5ad file."),
    (b"PAR1", "The file is a Parquet table", "Save it with anndata: adata.write_h5ad('q.h5ad')."),
    (b"RDX", "The file is an R object", "Convert it to .h5ad, for example with zellkonverter."),
    (b"\x89PNG", "The file is a picture", "Send the .h5ad file with counts and coordinates."),
    (b"II*\x00", "The file is a picture", "Send the .h5ad file with counts and coordinates."),
)
_WRITE = "Save it with anndata: adata.write_h5ad('query.h5ad')."


def check_signature(path: Path) -> Finding | None:
    """Return why a file is no HDF5 file at all, or None."""
    size = path.stat().st_size
    if size == 0:
        return _blocked("The file is empty", "", "An .h5ad file (HDF5).", "Choose another file.")
    if h5py.is_hdf5(path):
        return None
    with path.open("rb") as file:
        head = file.read(8)
    for magic, title, fix in _MAGIC:
        if head.startswith(magic):
            return _blocked(title, "", "An .h5ad file (HDF5).", fix)
    return _blocked("This is not an .h5ad file", f"{size:,} bytes", "An .h5ad file (HDF5).", _WRITE)


def unreadable(error: OSError) -> Finding:
    """Return what an HDF5 file that cannot be opened suffers from."""
    if "truncated" in str(error):
        return _blocked(
            "The file is cut short",
            "",
            "All bytes that its header announces.",
            "Copy or download it again, then send it again.",
        )
    return _blocked("The file is damaged", "", "A readable HDF5 file.", _WRITE)


def check_structure(file: h5py.File, limits: Limits) -> list[Finding]:
    """Return what an open file declares that must not be read; headers only."""
    found: list[Finding] = []
    for path, problem in _problems(file, limits):
        found.append(
            _blocked(
                problem, "", "Plain datasets within the file, of a possible size.", _WRITE, path
            )
        )
        if len(found) == _LISTED:
            break
    return found


def _problems(file: h5py.File, limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield (path, what is wrong)."""
    seen: set[int] = set()
    waiting: list[tuple[h5py.Group, str, int]] = [(file, "", 0)]
    while waiting:
        group, path, depth = waiting.pop()
        if len(seen) + len(group) > OBJECTS or depth > DEPTH:
            yield path or "/", f"More than {OBJECTS:,} fields, or deeper than {DEPTH} levels"
            return
        for name in group:
            here = f"{path}/{name}"[:200].lstrip("/")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                yield here, "A link that leads elsewhere"
                continue
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(node, h5py.Group):
                waiting.append((node, here, depth + 1))
            elif isinstance(node, h5py.Dataset):
                yield from ((here, problem) for problem in _dataset_problems(node, limits))


def _dataset_problems(data: h5py.Dataset, limits: Limits) -> Iterator[str]:
    plan = data.id.get_create_plist()
    if plan.get_external_count():
        yield "Data stored in another file"
    if data.is_virtual:
        yield "A virtual dataset, made of other files"
    codes = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    for code in codes:
        if code not in FILTERS or not h5py.h5z.filter_avail(code):
            yield f"Packed with HDF5 filter {code}, which cannot be read here"
    size = math.prod(data.shape or ()) * data.dtype.itemsize
    most = 16 * limits.nonzeros
    if size > most:
        yield f"It declares {size:.3g} bytes; {most:.3g} are allowed"
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > CHUNK_BYTES:
        yield f"Its chunks are above {CHUNK_BYTES:,} bytes each"


def _blocked(title: str, value: str, text: str, fix: str, where: str = "") -> Finding:
    return Finding("file", "blocked", title, value, text, fix, where)
