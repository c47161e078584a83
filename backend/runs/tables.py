"""Annotations to take away: columns of a copy of the user's file, and a MapMyCells-style table."""

from __future__ import annotations

import csv
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.runs.levels import PROBABILITY, UNASSIGNED, LabelTable, label_tables, spoken_log

#: A cell that begins so would be run as a formula by a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_text(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def write_csv(path: Path, sections: Sequence[SectionData], result: TaskResult) -> None:
    """Write one line per cell with the columns that MapMyCells writes, and the runner-up.

    ``<level>_probability`` stands where MapMyCells has a bootstrapping probability, since ours is
    none.

    The header lines begin with '#'. Written beside and renamed.
    """
    with beside(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        for line in _header(result):
            file.write(f"# {line}\n")
        writer = csv.writer(file, lineterminator="\n")
        for i, section in enumerate(sections):
            tables = label_tables(result, section.id)
            if i == 0:
                writer.writerow(["cell_id", "section", *(c for t in tables for c in _columns(t))])
            writer.writerows(_lines(section, tables))


def _header(result: TaskResult) -> Iterator[str]:
    """Yield what the table was made with."""
    provenance = result.provenance
    assert provenance is not None
    yield f"algorithm = {provenance.model} {provenance.version}, seed {provenance.seed}"
    labels = list(dict.fromkeys(c.layer.name for c in result.columns if c.layer.kind == "label"))
    yield f"taxonomy hierarchy = {json.dumps(labels)}"
    yield f"probability = {PROBABILITY}"
    yield from spoken_log(result)


def _columns(table: LabelTable) -> list[str]:
    """Name the columns of one label."""
    x = table.label
    return [
        f"{x}_label",
        f"{x}_name",
        f"{x}_probability",
        f"{x}_aggregate_probability",
        f"{x}_runner_up_name",
        f"{x}_runner_up_probability",
        f"{x}_novelty",
        f"{x}_abstained",
    ]


def _lines(section: SectionData, tables: Sequence[LabelTable]) -> Iterator[list[str]]:
    """Yield the lines of one section."""
    for i, cell in enumerate(section.names):
        line = [safe_text(str(cell)), safe_text(section.id)]
        for t in tables:
            line += [
                "" if t.abstained[i] else t.ids[i],
                safe_text(UNASSIGNED if t.abstained[i] else str(t.best[i])),
                f"{t.confidence[i]:.4f}",
                f"{t.aggregate[i]:.4f}",
                safe_text(str(t.runner_ups[i, 0])),
                f"{t.runner_up_probability[i, 0]:.4f}",
                f"{t.novelty[i]:.3f}",
                str(int(t.abstained[i])),
            ]
        yield line


def write_h5ad_copy(
    source: Path,
    path: Path,
    sections: Sequence[SectionData],
    rows: Sequence[NDArray[np.int64]],
    result: TaskResult,
) -> None:
    """Write a copy of the user's file with labels, confidence, runner-up and embeddings.

    Parameters
    ----------
    source, path : Path
        ``source`` is never written to.
    sections : sequence of SectionData
    rows : sequence of (n,) int64
        Rows of the file that each section holds.
    result : TaskResult
        Of ``annotate``.

    Raises
    ------
    BadRequest
        If ``path`` is ``source``.
    """
    import anndata  # slow to import, and not needed for a table

    if path.exists() and path.samefile(source):
        raise BadRequest("The result would overwrite the input.", "Choose another output file.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old files, and of names that repeat
        data = anndata.read_h5ad(source)
    for section, own in zip(sections, rows, strict=True):
        for table in label_tables(result, section.id):
            _put_label(data.obs, table, own)
        for m in result.matrices:
            if m.section == section.id and m.name.startswith("embedding:"):
                _put_embedding(data, m.name, m.values, own)
    assert result.provenance is not None
    data.uns["fusemap"] = json.dumps(
        {"provenance": asdict(result.provenance), "figures": result.figures}, default=list
    )
    with beside(path) as draft:
        data.write_h5ad(draft, compression="gzip")


def _put_label(obs: Any, table: LabelTable, rows: NDArray[np.int64]) -> None:
    """Write one label into a table of cells."""
    base = f"{table.label}_fusemap"
    names = np.where(table.abstained, UNASSIGNED, table.best)
    for name, values, empty in (
        (base, names, ""),
        (f"{base}_confidence", table.confidence, np.nan),
        (f"{base}_aggregate_probability", table.aggregate, np.nan),
        (f"{base}_runner_up", table.runner_ups[:, 0], ""),
        (f"{base}_runner_up_probability", table.runner_up_probability[:, 0], np.nan),
        (f"{base}_novelty", table.novelty, np.nan),
        (f"{base}_abstained", table.abstained.astype(np.float32), np.nan),
    ):
        whole = np.full(len(obs), empty, dtype=object if empty == "" else np.float32)
        if name in obs:
            whole[:] = obs[name].to_numpy()
        whole[rows] = values
        obs[name] = whole
        if empty == "":
            obs[name] = obs[name].astype("category")


def _put_embedding(
    data: Any, name: str, values: NDArray[np.float32], rows: NDArray[np.int64]
) -> None:
    """Write an embedding of some rows into obsm."""
    key = "X_fusemap" if name == "embedding:cell" else "X_fusemap_niche"
    whole = np.full((data.n_obs, values.shape[1]), np.nan, dtype=np.float32)
    if key in data.obsm and data.obsm[key].shape == whole.shape:
        whole[:] = data.obsm[key]
    whole[rows] = values
    data.obsm[key] = whole


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a draft in the folder of ``path`` that is renamed to it, or removed on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.chmod(0o644)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
