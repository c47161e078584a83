"""Preflight: look at an upload before computing anything, and tell all that is wrong at once.

``preflight`` looks from a child process with bounded memory and time, since a file of a stranger
may be made to exhaust either; ``inspect`` is the look itself.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py

import backend
from backend.core.errors import BadFile, Fault
from backend.core.settings import Limits
from backend.intake.counts import check_counts, matrices
from backend.intake.fields import Matrix, Unreadable, index_of, is_text, length_of, texts
from backend.intake.findings import Finding, Preflight, refused
from backend.intake.modalities import ModalityCard
from backend.intake.panel import GeneNames, best_panel, check_genes, lookup
from backend.intake.places import check_coordinates
from backend.intake.structure import check_signature, check_structure, unreadable

__all__ = ["Finding", "Preflight", "inspect", "modalities", "preflight", "preview", "spots"]

#: Cells below which nothing can be said, and below which little.
LEAST_CELLS, FEW_CELLS = 20, 200
#: Cells that the annotation handles per second on one core, and its start.
CELLS_PER_SECOND, START_SECONDS = 1000.0, 8.0
#: What a look may use.
MEMORY_BYTES, SECONDS = 6_000_000_000, 180
_log = logging.getLogger(__name__)
_WRITE = "Save it with anndata: adata.write_h5ad('query.h5ad')."


def preflight(path: Path, filename: str, genes: GeneNames, limits: Limits) -> Preflight:
    """Look at a file from a child process with bounded memory and time.

    Parameters
    ----------
    path : Path
        The file on our disk.
    filename : str
        The client's name of it, for messages.
    genes : GeneNames
        Symbols and Ensembl ids of the atlas.
    limits : Limits
    """
    request = {
        "filename": filename,
        "symbol": list(genes.symbol),
        "ensembl": list(genes.ensembl),
        "limits": asdict(limits),
    }
    answer = _ask_child("preflight", path, request)
    if answer is None:
        return refused(filename, [_exhausted()])
    return Preflight.from_json(answer)


def preview(path: Path) -> dict[str, Any]:
    """Return positions of at most 20,000 cells and the histogram of genes per cell.

    Raises
    ------
    BadFile
        If the file cannot be looked at.
    """
    answer = _ask_child("preview", path, {})
    if answer is None:
        fault = _exhausted().as_fault()
        raise BadFile("The upload", [Fault(fault.what, fault.where, fault.expected, fault.remedy)])
    return answer


def modalities(paths: Sequence[Path], limits: Limits) -> dict[str, Any]:
    """Return the card of multi-omics files, looked at in a child process.

    Parameters
    ----------
    paths : sequence of Path
        Files of one section.
    limits : Limits

    Returns
    -------
    dict
        ``ModalityCard`` as JSON.
    """
    more = [str(path.absolute()) for path in paths[1:]]
    answer = _ask_child("modalities", paths[0], {"more": more, "limits": asdict(limits)})
    if answer is None:
        fault = _exhausted().as_fault()
        return ModalityCard(faults=(fault,)).as_json()
    return answer


def spots(path: Path, filename: str, image: Path | None, limits: Limits) -> dict[str, Any]:
    """Return the card of a file of spots and its image, looked at in a child process.

    Returns
    -------
    dict
        As ``backend.intake.spots.look_at_spots``.
    """
    request = {
        "filename": filename,
        "image": str(image.absolute()) if image else "",
        "limits": asdict(limits),
    }
    answer = _ask_child("spots", path, request)
    if answer is not None:
        return answer
    nothing = {"n_spots": 0, "n_genes": 0, "unit": "", "sections": [], "pixels": ""}
    return {"ok": False, "faults": [asdict(_exhausted().as_fault())], **nothing}


def _ask_child(verb: str, path: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the child answers, or None where it died, ran out of memory or of time."""
    root = str(Path(backend.__file__).resolve().parents[1])
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "backend.intake.child", verb, str(path.absolute())]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
            cwd=root,
            env={**os.environ, **one, "PYTHONPATH": root},
        )
    except subprocess.TimeoutExpired:
        _log.warning("the look at an upload ran out of time")
        return None
    if done.returncode != 0:
        _log.warning("the look at an upload failed: %s", done.stderr.decode(errors="replace"))
        return None
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _exhausted() -> Finding:
    text = f"A file that can be read within {MEMORY_BYTES / 1e9:.0f} GB and {SECONDS} seconds."
    return Finding("file", "blocked", "The file could not be read", "", text, _WRITE)


def inspect(path: Path, filename: str, genes: GeneNames, limits: Limits) -> Preflight:
    """Look at a file in this process; see ``preflight``."""
    fault = check_signature(path)
    if fault is not None:
        return refused(filename, [fault])
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        return refused(filename, [unreadable(error)])
    with file:
        faults = check_structure(file, limits) or _check_tables(file)
        if faults:
            return refused(filename, faults)
        try:
            return _look(file, filename, genes, limits, path.stat().st_size)
        except (OSError, Unreadable) as error:
            title = "A field cannot be read"
            text = "Fields as anndata writes them."
            fault = Finding("file", "blocked", title, str(error)[:160], text, _WRITE)
            return refused(filename, [fault])


def _check_tables(file: h5py.File) -> list[Finding]:
    """Return a fault unless obs and var are tables with an index, as in an h5ad file."""
    if "matrix" in file and "obs" not in file:
        fix = "Convert it: scanpy.read_10x_h5(...), add obsm['spatial'], then write_h5ad."
        text = "An .h5ad file with obs, var and X."
        return [
            Finding("file", "blocked", "This is a 10x matrix, not an .h5ad file", "", text, fix)
        ]
    faults = []
    for name in ("obs", "var"):
        node = file.get(name)
        if isinstance(node, h5py.Group) and index_of(node) is not None:
            continue
        old = isinstance(node, h5py.Dataset)
        title = f"{name} was written by an old anndata" if old else f"There is no table {name}"
        text = "A table with an index, as anndata 0.7 or newer writes it."
        faults.append(Finding("file", "blocked", title, "", text, _WRITE, name))
    return faults


def _look(file: h5py.File, filename: str, genes: GeneNames, limits: Limits, size: int) -> Preflight:
    n_cells, n_genes = (length_of(index_of(file[name])) for name in ("obs", "var"))
    found, faults = matrices(file, limits)
    faults += _too_long(n_cells, n_genes, limits) + _disagreeing(found, n_cells, n_genes)
    if faults:
        return Preflight(filename, n_cells, n_genes, findings=tuple(faults))
    findings = [Finding("file", "ok", "h5ad file", f"{size / 1e6:,.1f} MB")]
    findings += _check_cells(file, n_cells, limits)
    panel = best_panel(file["var"], lookup(genes), limits)
    findings += check_genes(panel, genes, n_genes)
    places, coordinates_in, unit = check_coordinates(file, n_cells) if n_cells else ([], "", "")
    values, counts = check_counts(found) if n_cells and n_genes else ([], None)
    findings += [*places, *values, *_check_sections(file["obs"], limits)]
    findings += _check_labels(file["obs"], limits)
    return Preflight(
        filename,
        n_cells,
        n_genes,
        n_matched=panel.matched if panel else 0,
        n_panel=n_genes,
        xy_unit=unit,
        coordinates_in=coordinates_in,
        counts_in=counts.field if counts else "",
        genes_in=panel.field if panel else "",
        seconds=round(START_SECONDS + n_cells / CELLS_PER_SECOND),
        findings=tuple(findings),
    )


def _too_long(n_cells: int, n_genes: int, limits: Limits) -> list[Finding]:
    asked = (("obs", n_cells, limits.cells, "cells"), ("var", n_genes, limits.genes, "genes"))
    return [
        Finding(
            "cells" if noun == "cells" else "genes",
            "blocked",
            f"Too many {noun}",
            f"{n:,}",
            f"At most {most:,} {noun}.",
            "Send one section at a time, or use the command line.",
            name,
        )
        for name, n, most, noun in asked
        if n > most
    ]


def _disagreeing(found: list[Matrix], n_cells: int, n_genes: int) -> list[Finding]:
    """Return a fault for each matrix whose declared shape is not that of obs and var."""
    return [
        Finding(
            "file",
            "blocked",
            f"{m.field} and the tables disagree",
            f"{m.shape[0]:,} x {m.shape[1]:,}, not {n_cells:,} x {n_genes:,}",
            "One row per entry of obs, one column per entry of var.",
            _WRITE,
            m.field,
        )
        for m in found
        if m.shape[0] != n_cells or (m.shape[1] != n_genes and not m.field.startswith("raw"))
    ]


def _check_cells(file: h5py.File, n_cells: int, limits: Limits) -> list[Finding]:
    if n_cells < LEAST_CELLS:
        title = {0: "There are no cells", 1: "There is one cell"}.get(n_cells, "Too few cells")
        text = f"At least {LEAST_CELLS} cells: a cell is read together with its neighbours."
        fix = "Send the whole section."
        return [Finding("cells", "blocked", title, f"{n_cells:,}", text, fix, "obs")]
    few = n_cells < FEW_CELLS
    text = "So few cells say little about neighbourhoods." if few else ""
    title = "Few cells" if few else "Cells"
    findings = [Finding("cells", "warning" if few else "ok", title, f"{n_cells:,}", text)]
    index = index_of(file["obs"])
    names = texts(index, limits.text_length) if is_text(index) else []
    twice = sum(n - 1 for n in Counter(names).values() if n > 1)
    if twice:
        title = "Cell names occur more than once"
        text = "Cells are told apart by their order; names in the result repeat too."
        fix = "adata.obs_names_make_unique()"
        value = f"{twice:,} repeats"
        findings.append(Finding("cells", "warning", title, value, text, fix, "obs index"))
    return findings


def _check_sections(obs: h5py.Group, limits: Limits) -> list[Finding]:
    """Return a warning if the file holds several sections."""
    from backend.intake.read import SECTION_COLUMNS  # pandas, which the web process does without

    column = next((name for name in SECTION_COLUMNS if name in obs), None)
    if column is None or not is_text(obs[column]):
        return []
    n = len(set(texts(obs[column], limits.text_length)))
    if n < 2:
        return []
    title = f"The file holds {n:,} sections"
    text = "Each is annotated by itself; the first is shown on the map."
    fix = "Send one section per file to see it."
    return [Finding("cells", "warning", title, f"obs['{column}']", text, fix, f"obs/{column}")]


def _check_labels(obs: h5py.Group, limits: Limits) -> list[Finding]:
    """Return a warning for each label with too many classes, or with names too long."""
    findings = []
    text = "The column is left out; everything else is kept."
    for name in sorted(obs)[:500]:
        node = obs[name]
        categories = node.get("categories") if isinstance(node, h5py.Group) else None
        if not isinstance(categories, h5py.Dataset):
            continue
        n, where = length_of(categories), f"obs/{name}"[:80]
        if n > limits.categories:
            value = f"{n:,}, at most {limits.categories:,}"
            title = "A label has too many classes"
            findings.append(Finding("file", "warning", title, value, text, "", where))
            continue
        try:
            if is_text(categories):
                texts(categories, limits.text_length)
        except Unreadable as error:
            title = "A label has names that cannot be used"
            findings.append(Finding("file", "warning", title, str(error), text, "", where))
    return findings[:20]
