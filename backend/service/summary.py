"""What a section is made of: counts per class, composition, names on the tissue, means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.analysis.composition import Anchor, anchors, count_codes, crosstab
from backend.core.data import SectionInfo
from backend.core.errors import UnknownLayer, did_you_mean
from backend.core.geometry import Bounds
from backend.core.layers import MISSING, LayerKey
from backend.service.planes import MONTAGE, Plane
from backend.store.atlas import Atlas

#: Cells among which neighbours are counted.
TOUCHING_CELLS = 20_000


def rows_of(atlas: Atlas, section: str) -> slice:
    """Return the rows of a section, or of the whole atlas."""
    return slice(0, atlas.n_cells) if section == MONTAGE else atlas.section(section).rows


def require_label(atlas: Atlas, key: LayerKey) -> None:
    """Raise UnknownLayer if ``key`` is not one of the atlas's labels."""
    if key.kind != "label" or key.name not in atlas.labels():
        known = [f"label:{name}" for name in atlas.labels()]
        raise UnknownLayer(
            f"'{key}' is not a label of this atlas.",
            f"Labels are {', '.join(known) or 'none'}.",
            did_you_mean(str(key), known),
        )


def counts(plane: Plane, section: str, key: LayerKey, view: Bounds | None) -> NDArray[np.int64]:
    """Return cells per class of a label, the cells without one last.

    Parameters
    ----------
    view : Bounds or None
        Only cells inside this rectangle of the plane, micrometres.
    """
    atlas = plane.atlas
    require_label(atlas, key)
    label = atlas.label(key.name)
    n = len(label.categories)
    if view is None:
        return count_codes(np.asarray(label.codes[rows_of(atlas, section)]), n)
    total = np.zeros(n + 1, dtype=np.int64)
    for info in _chosen(atlas, section):
        total += count_codes(_codes_in_view(plane, info, key, view), n)
    return total


def most_touching(plane: Plane, section: str, key: LayerKey, radius: float) -> tuple[int, ...]:
    """Return the two classes of a label whose cells are most often neighbours, the commoner first.

    None where no two classes touch. Cells are sorted by place, so a large section is answered from
    20,000 cells in a row.
    """
    atlas = plane.atlas
    require_label(atlas, key)
    info = atlas.section(section)
    middle = info.first + max((info.n_cells - TOUCHING_CELLS) // 2, 0)
    rows = slice(middle, middle + min(info.n_cells, TOUCHING_CELLS))
    codes = np.asarray(atlas.label(key.name).codes[rows])
    ends = cKDTree(np.asarray(atlas.xy[rows])).query_pairs(radius, output_type="ndarray")
    pairs = np.sort(codes[ends].astype(np.int64), axis=1)
    pairs = pairs[(pairs[:, 0] != MISSING) & (pairs[:, 0] != pairs[:, 1])]
    if not len(pairs):
        return ()
    found, times = np.unique(pairs, axis=0, return_counts=True)
    most = found[int(times.argmax())]
    return tuple(sorted((int(c) for c in most), key=lambda c: -int((codes == c).sum())))


def _chosen(atlas: Atlas, section: str) -> tuple[SectionInfo, ...]:
    return atlas.sections() if section == MONTAGE else (atlas.section(section),)


def _codes_in_view(
    plane: Plane, info: SectionInfo, key: LayerKey, view: Bounds
) -> NDArray[np.int16]:
    at = plane.bounds(info)
    apart = at.right < view.left or at.left > view.right or at.bottom < view.top
    if apart or at.top > view.bottom:
        return np.empty(0, dtype=np.int16)
    codes = np.asarray(plane.atlas.label(key.name).codes[info.rows])
    within = view.left <= at.left and view.right >= at.right
    if within and view.top <= at.top and view.bottom >= at.bottom:
        return codes
    xy = np.asarray(plane.atlas.xy[info.rows])
    here = view.shifted(info.extent.left - at.left, info.extent.top - at.top)
    kept = (xy[:, 0] >= here.left) & (xy[:, 0] <= here.right)
    kept &= (xy[:, 1] >= here.top) & (xy[:, 1] <= here.bottom)
    return codes[kept]


def _blocks(sections: tuple[SectionInfo, ...], share: float) -> Iterator[tuple[SectionInfo, slice]]:
    """Yield rows of sections: all of them, or a share in blocks spread over each section."""
    for info in sections:
        n_blocks = 1 if share >= 1 else min(16, info.n_cells)
        for block in range(n_blocks):
            start = info.first + info.n_cells * block // n_blocks
            stop = info.first + info.n_cells * (block + 1) // n_blocks
            yield info, slice(start, start + max(1, int((stop - start) * share)))


def composition(
    plane: Plane, section: str, key: LayerKey, within: tuple[LayerKey, int] | None
) -> NDArray[np.int64]:
    """Return cells per class of a label, among the cells of one class of another label."""
    if within is None:
        return counts(plane, section, key, None)[:-1]
    atlas, (other, code) = plane.atlas, within
    require_label(atlas, key)
    require_label(atlas, other)
    rows = rows_of(atlas, section)
    a, b = atlas.label(other.name), atlas.label(key.name)
    table = crosstab(
        np.asarray(a.codes[rows]),
        np.asarray(b.codes[rows]),
        (len(a.categories), len(b.categories)),
    )
    chosen: NDArray[np.int64] = table[code]
    return chosen


def composition_entries(
    plane: Plane, section: str, key: LayerKey, within: tuple[LayerKey, int] | None
) -> list[dict[str, Any]]:
    """Return the classes of a label that have cells, most first; see ``composition``."""
    found = composition(plane, section, key, within)
    categories = plane.atlas.label(key.name).categories
    return [
        {
            "code": int(c),
            "name": categories[c].name,
            "colour": categories[c].colour,
            "parent": categories[c].parent,
            "count": int(found[c]),
        }
        for c in np.argsort(-found, kind="stable")
        if found[c] > 0
    ]


def section_anchors(plane: Plane, info: SectionInfo, key: LayerKey) -> list[Anchor]:
    """Return where the names of a label's classes are printed; places are on the plane."""
    atlas = plane.atlas
    require_label(atlas, key)
    label = atlas.label(key.name)
    codes = np.asarray(label.codes[info.rows])
    at_least = max(20, info.n_cells // 400)
    found = anchors(np.asarray(atlas.xy[info.rows]), codes, len(label.categories), at_least)
    at = plane.bounds(info)
    dx, dy = at.left - info.extent.left, at.top - info.extent.top
    return [a._replace(x=a.x + dx, y=a.y + dy) for a in found]


def means_by(
    plane: Plane, section: str, key: LayerKey, label: LayerKey, at_most: int = 200_000
) -> list[dict[str, Any]]:
    """Return the mean of a numeric layer in each class of a label, highest first.

    Notes
    -----
    The whole atlas is answered from evenly spread blocks of rows, about ``at_most`` cells of them.
    """
    atlas = plane.atlas
    require_label(atlas, label)
    labels = atlas.label(label.name)
    total = np.zeros(len(labels.categories))
    cells = np.zeros(len(labels.categories), dtype=np.int64)
    share = min(1.0, at_most / max(atlas.n_cells if section == MONTAGE else 1, 1))
    for info, rows in _blocks(_chosen(atlas, section), share):
        values = np.asarray(plane.renderer.values(info.id, key, rows), dtype=np.float64)
        codes = np.asarray(labels.codes[rows])
        kept = (codes != MISSING) & np.isfinite(values)
        total += np.bincount(codes[kept], values[kept], minlength=len(total))
        cells += np.bincount(codes[kept], minlength=len(total))
    order = np.argsort(-total / np.maximum(cells, 1), kind="stable")
    return [
        {
            "code": int(c),
            "name": labels.categories[c].name,
            "colour": labels.categories[c].colour,
            "mean": float(total[c] / cells[c]),
            "n": int(cells[c]),
        }
        for c in order
        if cells[c] > 0
    ]
