"""Writing what the bins of a layout hold, so that its overview tiles never touch every cell."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.store import flat
from backend.store.atlas import Atlas
from backend.store.pyramid import holders_of
from backend.tiles.layouts import (
    CELLS,
    Layout,
    LayoutName,
    array_place,
    label_array,
    label_place,
    open_layout,
    overview_place,
)
from backend.tiles.runs import majority_of_runs, mean_of_runs, over_runs, run_starts
from backend.tiles.values import Values


def write_overview(atlas: Atlas, layout: str, step: Callable[[float], None]) -> None:
    """Write what a layout's bins hold, and remove the overviews that no edition needs.

    Mean embeddings, and of every label the commonest category and the bins of each category. Two
    bytes per cell lie in memory, besides what is written for one level.

    Parameters
    ----------
    atlas : Atlas
        A folder of this machine, newly opened, with the layout and a cell embedding.
    step : callable (fraction)
        Told before each level; may raise.
    """
    found = open_layout(Values(atlas), LayoutName(layout, None))
    embedding = atlas.embedding("cell")
    folder = Path(str(atlas.path)) / overview_place(atlas, layout)
    assert embedding is not None
    cells = embedding.values

    def means(places: slice, first: NDArray[np.uint32]) -> NDArray[Any]:
        return mean_of_runs(first, np.asarray(cells[found.rows[places]]))

    shutil.rmtree(folder, ignore_errors=True)
    for i, level in enumerate(found.levels):
        step(i / len(found.levels))
        first = run_starts(found.codes, level)
        flat.write(folder / str(level), over_runs(first, len(found), means))
    for label in atlas.labels():
        _write_label(atlas, label, found, folder / label_place(label))
    about = {"embedding": array_place(atlas, CELLS), "levels": list(found.levels)}
    flat.write_group(
        folder, {**about, "labels": {n: label_array(atlas, n) for n in atlas.labels()}}
    )
    for old in folder.parent.glob("overview@*"):
        if not old.with_name(old.name.replace("overview", "order", 1)).is_dir():
            shutil.rmtree(old)


def _write_label(atlas: Atlas, label: str, layout: Layout, folder: Path) -> None:
    """Write what the bins of a layout hold of a label."""
    codes = np.asarray(atlas.label(label).codes[layout.rows])
    size = len(atlas.label(label).categories)
    for level in layout.levels:
        first = run_starts(layout.codes, level)
        holders = holders_of(codes, first.astype(np.int64), size)
        flat.write(folder / str(level) / "top", majority_of_runs(first, codes, np.ones(size, bool)))
        for name, values in holders._asdict().items():
            flat.write(folder / str(level) / name, values)
