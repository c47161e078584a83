"""Pictures for publication: one layer of one section, with legend, unit and scale bar.

Cells below a pixel are aggregated by datashader; larger ones are discs, as on screen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest
from backend.core.geometry import Bounds
from backend.core.layers import LayerInfo, LayerKey, Style
from backend.store.atlas import Atlas
from backend.tiles import raster, shade
from backend.tiles.discs import SUBPIXELS, disc_radius
from backend.tiles.nearest import COVERAGE, LARGEST, Discs
from backend.tiles.page import Bar, Entry, Page, Words
from backend.tiles.palette import theme_of
from backend.tiles.spans import MONTAGE, layer_span
from backend.tiles.values import Values

#: Widths that may be asked for, pixels.
WIDTHS = (400, 6000)
#: Room around the cells, as a fraction of the picture; its tallest shape.
MARGIN, TALLEST = 0.02, 2.0
KINDS = {
    "measured": "Measured",
    "imputed": "Imputed: a model's estimate, not measured",
    "label": "Label",
    "density": "Counted",
    "confidence": "Confidence of the label",
}
Canvas = NDArray[np.uint8]


class _Frame(NamedTuple):
    """The part of the plane that is drawn, and its size in pixels."""

    bounds: Bounds
    width: int
    height: int

    @property
    def scale(self) -> float:
        """Pixels per micrometre."""
        return self.width / self.bounds.width


def figure_png(
    atlas: Atlas, section: str, info: LayerInfo, style: Style, width: int = 2400
) -> bytes:
    """Return a picture of a layer with title, legend or colour bar, and scale bar.

    Parameters
    ----------
    atlas : Atlas
    section : str
        Section id, or "atlas" for all of them.
    info : LayerInfo
        Title, unit, span and trust as they are to be printed.
    style : Style
        The palette's theme decides on the background.
    width : int
        Pixels, 400 to 6000.

    Returns
    -------
    bytes
        PNG.

    Raises
    ------
    BadRequest
        If the width or the palette cannot be used.
    """
    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise BadRequest(
            f"A figure of {width} pixels is out of range.", f"Use {WIDTHS[0]} to {WIDTHS[1]}."
        )
    shade.check_palette(style.palette)
    values = Values(atlas)
    key = values.check(info.key)
    chosen = [atlas.section(section)] if section != MONTAGE else list(atlas.sections())
    chosen = [s for s in chosen if s.n_cells]
    dark = theme_of(style.palette) == "dark"
    page = Page(width, dark)
    frame = _frame(atlas, chosen, page.plot_width)
    if key.kind == "label":
        picture, entries = _label_picture(values, chosen, key, style, frame)
        legend: Any = entries
    else:
        span = _span(values, section, key, info, style)
        scale = shade.value_range(key, span, style.palette)
        picture, absent = _number_picture(values, chosen, key, style, scale, frame)
        legend = _bar(style.palette, scale, info, absent)
    unit = chosen[0].xy_unit if chosen else "um"
    return page.compose(picture, legend, words_of(atlas, section, chosen, info), frame.scale, unit)


def _span(
    values: Values, section: str, key: LayerKey, info: LayerInfo, style: Style
) -> tuple[float, float]:
    lo, hi = info.span or layer_span(values, section, key)
    return (lo if style.lo is None else style.lo, hi if style.hi is None else style.hi)


def _frame(atlas: Atlas, chosen: list[SectionInfo], width: int) -> _Frame:
    """Return the smallest frame with all cells and a little room."""
    if not chosen:
        return _Frame(Bounds(0, 0, 1, 1), width, width // 4)
    extents = [s.extent.shifted(*_shift(atlas, s)) for s in chosen]
    room = max(s.radius for s in chosen)
    left, top = min(e.left for e in extents) - room, min(e.top for e in extents) - room
    right, bottom = max(e.right for e in extents) + room, max(e.bottom for e in extents) + room
    pad = max(right - left, bottom - top, 1e-6) * MARGIN
    wide, high = right - left + 2 * pad, bottom - top + 2 * pad
    if high > TALLEST * wide:
        wide = high / TALLEST
    centre = (left + right) / 2
    bounds = Bounds(centre - wide / 2, top - pad, centre + wide / 2, bottom + pad)
    return _Frame(bounds, width, max(1, math.ceil(width * high / wide)))


def _shift(atlas: Atlas, info: SectionInfo) -> tuple[float, float]:
    """Return what turns section coordinates into those of the plane."""
    side = atlas.world_um / (1 << info.slot.level)
    return info.slot.x * side - info.origin[0], info.slot.y * side - info.origin[1]


def _places(values: Values, info: SectionInfo, frame: _Frame) -> NDArray[np.float64]:
    """Return the positions of a section's cells in pixels of the picture, (n, 2)."""
    xy = np.asarray(values.atlas.xy[info.rows], dtype=np.float64)
    corner = np.array([frame.bounds.left, frame.bounds.top])
    return np.asarray((xy + np.array(_shift(values.atlas, info)) - corner) * frame.scale)


def _label_picture(
    values: Values, chosen: list[SectionInfo], key: LayerKey, style: Style, frame: _Frame
) -> tuple[Canvas, list[Entry]]:
    label = values.atlas.label(key.name)
    look = values.look(key.name, style.only)
    colours = shade.label_colours(label.categories).rgba
    drawing = _Drawing(frame)
    counts = np.zeros(len(label.categories) + 1, np.int64)
    for info in chosen:
        codes = values.confident_codes(info, key, info.rows, style.least)
        counts += np.bincount(codes.astype(np.int64) + 1, minlength=len(counts))
        places = _places(values, info, frame)
        radius = disc_radius(info, frame.scale)
        if radius:
            drawing.discs(places, shade.index_labels(codes, look.table), radius)
        else:
            drawing.fill(shade.index_labels(_majority(places, codes, frame), look.table))
    entries = [
        Entry(label.categories[c].name, (*colours[c + 2, :3].tolist(),), int(counts[c + 1]))
        for c in np.argsort(-counts[1:], kind="stable")
        if counts[c + 1] and look.wanted[c]
    ]
    missing = int(counts[0])
    if missing:
        entries.append(Entry("No label", (*colours[1, :3].tolist(),), missing))
    return drawing.image(colours), entries


def _number_picture(
    values: Values,
    chosen: list[SectionInfo],
    key: LayerKey,
    style: Style,
    scale: raster.Range,
    frame: _Frame,
) -> tuple[Canvas, int]:
    """Return the picture and the number of cells without a value."""
    drawing, absent = _Drawing(frame), 0
    colours = shade.number_colours(style.palette, shade.STEPS).rgba
    for info in chosen:
        found = values.of(info, key, info.rows)
        absent += int(np.isnan(found).sum())
        places = _places(values, info, frame)
        radius = disc_radius(info, frame.scale)
        if radius:
            index = raster.index_numbers(found, scale, shade.STEPS, raster.NO_VALUE)
            drawing.discs(places, index, radius)
        else:
            means = _means(places, found, frame)
            drawing.fill(raster.index_numbers(means, scale, shade.STEPS))
    return drawing.image(colours), absent


class _Drawing:
    """Colour indices of a picture, with the coverage of discs."""

    def __init__(self, frame: _Frame) -> None:
        shape = (frame.height, frame.width)
        self._index = np.zeros(shape, np.uint16)
        self._cover = np.full(shape, COVERAGE, np.uint8)
        self._discs = Discs(*shape)

    def discs(self, places: NDArray[np.float64], index: NDArray[np.uint16], radius: float) -> None:
        """Draw cells as discs."""
        centres = np.floor(places * SUBPIXELS).astype(np.int64)
        self._discs.put(centres, index, min(radius, LARGEST))

    def fill(self, index: NDArray[np.uint16]) -> None:
        """Draw pixels where there is nothing yet."""
        np.copyto(self._index, index, where=self._index == 0)

    def image(self, colours: NDArray[np.uint8]) -> Canvas:
        """Return the picture, (h, w, 4) uint8."""
        self._discs.draw(self._index, self._cover)
        out = colours[self._index]
        out[..., 3] = (out[..., 3].astype(np.uint16) * self._cover // COVERAGE).astype(np.uint8)
        return out


def _canvas(frame: _Frame) -> Any:
    import datashader

    return datashader.Canvas(
        plot_width=frame.width,
        plot_height=frame.height,
        x_range=(0, frame.width),
        y_range=(0, frame.height),
    )


def _means(
    places: NDArray[np.float64], values: NDArray[np.float32], frame: _Frame
) -> NDArray[np.float32]:
    """Return the mean of each pixel; nan without cells, infinity where cells have no value."""
    import datashader
    import pandas

    table = pandas.DataFrame({"x": places[:, 0], "y": places[:, 1], "v": values})
    canvas = _canvas(frame)
    means = np.array(canvas.points(table, "x", "y", datashader.mean("v")), dtype=np.float32)
    occupied = np.asarray(canvas.points(table, "x", "y", datashader.any()))
    return np.where(occupied & np.isnan(means), np.float32(np.inf), means)


def _majority(
    places: NDArray[np.float64], codes: NDArray[np.int16], frame: _Frame
) -> NDArray[np.int16]:
    """Return the commonest category of each pixel, -1 without a label, -2 without cells.

    One count per category in turn: the memory does not grow with their number.
    """
    import datashader
    import pandas

    best = np.zeros((frame.height, frame.width), np.uint32)
    out = np.full(best.shape, -2, np.int16)
    canvas = _canvas(frame)
    for code in np.unique(codes):
        chosen = codes == code
        table = pandas.DataFrame({"x": places[chosen, 0], "y": places[chosen, 1]})
        count = np.asarray(canvas.points(table, "x", "y", datashader.count()))
        if code < 0:
            out[count > 0] = -1
            continue
        more = count > best
        out[more] = code
        best[more] = count[more]
    return out


def _bar(name: str, scale: raster.Range, info: LayerInfo, absent: int) -> Any:
    colours = shade.number_colours(name, 256).rgba
    zero = tuple(colours[2, :3].tolist()) if scale.zero else None
    none = (tuple(colours[1, :3].tolist()), absent) if absent else None
    ticks = [scale.lo + (scale.hi - scale.lo) * t for t in (0.0, 0.5, 1.0)]
    return Bar(colours[3:, :3], ticks, scale.log, info.unit, zero, none)


def words_of(atlas: Atlas, section: str, chosen: list[SectionInfo], info: LayerInfo) -> Words:
    """Return what the page says of the picture: what, of how many, measured or not, from where."""
    cells = sum(s.n_cells for s in chosen)
    where = f"{len(chosen)} sections" if section == MONTAGE else chosen[0].title if chosen else ""
    noun = "cell" if section == MONTAGE or not chosen else chosen[0].noun
    kind = KINDS.get(info.key.kind, "Model output")
    if noun == "subspot" and info.key.kind == "measured":
        kind = "Enhanced, not measured"
    lines = [f"{where}, {cells:,} {noun}{'' if cells == 1 else 's'}", kind]
    if info.trust is not None:
        trust = info.trust
        lines.append(
            f"{trust.measure} {trust.figure:.2f}; {trust.baseline_name} {trust.baseline:.2f}"
        )
    if atlas.simulated or any(s.simulated for s in chosen):
        lines.append("Simulated data")
    foot = [f"{atlas.name}, version {atlas.version}", str(info.key)]
    if section != MONTAGE and chosen:
        foot += [t for t in (chosen[0].technology, chosen[0].dataset, chosen[0].licence) if t]
    return Words(info.title, tuple(lines), " · ".join(foot))
