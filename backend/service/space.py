"""Cells in common coordinates: a sample of points, records of sections, one slice in outline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration.planes import AXES, plane_named
from backend.core.errors import UnknownLayer
from backend.core.layers import MISSING, LayerKey
from backend.service.planes import Plane
from backend.service.summary import require_label
from backend.store.space import Space, read_space, read_volume

#: Points of a sample, at most: what plotly draws in three dimensions without delay.
MOST_POINTS = 50_000
#: Cells of one section that are drawn over a slice.
MOST_CELLS = 4_000
#: What the entry of a section says of its registration, and what the space says besides.
BRIEF = ("status", "reason", "plane", "position_um", "part", "grade", "dice", "agreement")
SUMMARY = (
    "status", "reason", "plane", "position_um", "position_range_um", "part", "grade", "dice",
    "agreement", "off_um", "landmark_um", "consistency_um", "jacobian", "label", "n_labelled",
    "n_regions", "corrected", "correction", "held_out",
)  # fmt: skip


def about(plane: Plane) -> dict[str, Any]:
    """Return name, axes, unit, licence and records of the space of an atlas; empty where none."""
    space = read_space(plane.atlas)
    if space is None:
        return {"name": "", "axes": list(AXES), "unit": "um", "licence": "", "sections": []}
    records = [
        {"id": info.id, "title": info.title, "dataset": info.dataset, **_summary(record, SUMMARY)}
        for info in plane.atlas.sections()
        if (record := space.records.get(info.id)) is not None
    ]
    return {**{k: v for k, v in space.about.items() if k != "size_um"}, "sections": records}


def summary_of(space: Space | None, section: str) -> dict[str, Any] | None:
    """Return what the entry of a section says of its registration, or None where nothing was."""
    record = None if space is None else space.records.get(section)
    return None if record is None else _summary(record, BRIEF)


def _summary(record: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: record[name] for name in names if name in record}


def points(plane: Plane, key: LayerKey, most: int = MOST_POINTS, seed: int = 0) -> dict[str, Any]:
    """Return a sample of placed cells, of every class of a label about alike.

    Parameters
    ----------
    key : LayerKey
        A label.
    most : int
        Points, at most.
    seed : int

    Returns
    -------
    dict
        ``xyz`` (n, 3) int32 micrometres, ``codes`` and ``sections`` (n,) int (places in the
        atlas's list of sections), ``categories``, ``outline`` (m, 3), ``n_placed``, ``seed``.

    Raises
    ------
    UnknownLayer
        If the layer is no label, or nothing is registered.

    Notes
    -----
    Of each class, a share that grows as the root of its size; the same seed gives the same cells.
    """
    atlas = plane.atlas
    require_label(atlas, key)
    space = _space(plane)
    label = atlas.label(key.name)
    rows = np.concatenate(
        [
            info.first + np.flatnonzero(np.isfinite(np.asarray(space.xyz[info.rows])[:, 0]))
            for info in atlas.sections()
            if space.records.get(info.id, {}).get("status") == "registered"
        ]
        or [np.zeros(0, np.int64)]
    )
    codes = np.asarray(label.codes[:])[rows]
    chosen = rows[sampled(codes, most, seed)]
    firsts = np.array([info.first for info in atlas.sections()])
    order = np.argsort(firsts)
    return {
        "layer": str(key),
        "xyz": np.rint(np.asarray(space.xyz[chosen])).astype(np.int32),
        "codes": np.asarray(label.codes[chosen]).astype(int),
        "sections": order[np.searchsorted(firsts[order], chosen, side="right") - 1],
        "categories": [
            {"code": code, "name": c.name, "colour": c.colour}
            for code, c in enumerate(label.categories)
        ],
        "outline": np.rint(space.outline).astype(np.int32),
        "n_placed": len(rows),
        "seed": seed,
    }


def sampled(codes: NDArray[np.int16], most: int, seed: int) -> NDArray[np.int64]:
    """Return places of a sample, ascending, balanced by the root of the size of each class."""
    if len(codes) <= most:
        return np.arange(len(codes))
    values, sizes = np.unique(codes, return_counts=True)
    wanted = np.minimum(sizes, np.sqrt(sizes) * most / np.sqrt(sizes).sum()).astype(int)
    for _ in range(8):  # what small classes cannot give goes to the others
        free = wanted < sizes
        left = most - wanted.sum()
        if left < len(values) or not free.any():
            break
        share = np.sqrt(sizes) * free
        wanted = np.minimum(sizes, wanted + (share * left / share.sum()).astype(int))
    rng = np.random.default_rng(seed)
    found = [
        rng.choice(np.flatnonzero(codes == value), n, replace=False)
        for value, n in zip(values, wanted, strict=True)
    ]
    return np.sort(np.concatenate(found))


def section_slice(plane: Plane, section: str, key: LayerKey) -> dict[str, Any]:
    """Return one placed section over the borders of the reference's regions there.

    Returns
    -------
    dict
        ``record``, ``xyz`` (n, 3), ``codes`` (n,), ``borders``: list of ((x0, y0), (x1, y1)) in
        the plane, micrometres to the right and down; empty where the atlas keeps no reference.

    Raises
    ------
    UnknownLayer
        If the section has no place.
    """
    atlas = plane.atlas
    info = atlas.section(section)
    space = _space(plane)
    record = space.records.get(section, {})
    if record.get("status") != "registered":
        reason = record.get("reason", "It was not registered.")
        raise UnknownLayer(f"Section '{info.title}' has no place in the space.", str(reason))
    rows = np.arange(info.first, info.first + info.n_cells)
    if len(rows) > MOST_CELLS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_CELLS, replace=False))
    codes = np.full(len(rows), MISSING)
    if key.kind == "label" and key.name in atlas.labels():
        codes = np.asarray(atlas.label(key.name).codes[rows]).astype(int)
    return {
        "record": dict(record),
        "xyz": np.asarray(space.xyz[rows]),
        "codes": codes,
        "borders": borders(plane, str(record["plane"]), float(record["position_um"])),
    }


def borders(plane: Plane, name: str, position_um: float) -> NDArray[np.float64]:
    """Return the borders between regions of the reference in a slice, (n, 2, 2) micrometres."""
    found = read_volume(plane.atlas)
    if found is None:
        return np.zeros((0, 2, 2))
    labels, about_ = found
    cut = plane_named(name)
    start, step = about_["start_um"], float(about_["step_um"])
    at = round((position_um - start[cut.through]) / step)
    at = int(np.clip(at, 0, labels.shape[cut.through] - 1))
    grid = labels.transpose(cut.through, cut.down, cut.right)[at]
    padded = np.pad(grid, 1)
    y, x = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([np.stack([x, y], 1), np.stack([x, y + 1], 1)], 1)
    y, x = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([np.stack([x, y], 1), np.stack([x + 1, y], 1)], 1)
    corner = np.array([start[cut.right], start[cut.down]]) - step / 2
    return np.asarray(np.concatenate([upright, level]) * step + corner)


def _space(plane: Plane) -> Space:
    space = read_space(plane.atlas)
    if space is None:
        raise UnknownLayer(
            f"Atlas '{plane.atlas.name}' has no common coordinates.",
            "Write them: python -m backend register ATLAS.zarr --reference DIR",
        )
    return space
