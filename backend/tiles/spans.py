"""Colour ranges and histograms: once per layer and section, never per tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.layers import LayerKey
from backend.tiles.shade import ZERO_IS_NOTHING
from backend.tiles.values import Values, reject_label

#: Section id of the plane of all sections.
MONTAGE = "atlas"
#: Cells that a range is drawn from, at most; evenly spread, always the same.
SAMPLE = 200_000
#: Sections whose columns are read for a range of the whole atlas, at most.
SAMPLED_SECTIONS = 32


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the values of a layer are distributed.

    Parameters
    ----------
    edges : (bins + 1,) float64
    counts : (bins,) int64
        Cells per bin; the last bin also holds what lies beyond. For the whole atlas, estimated
        from a sample.
    n_zero : int
        Cells with the value zero, where that means that nothing was found; not in ``counts``.
    n_missing : int
        Cells without a value.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    n_zero: int
    n_missing: int


def layer_span(values: Values, section: str, key: LayerKey) -> tuple[float, float]:
    """Return the colour range of a layer in a section or in the whole atlas.

    Measured genes and densities: zero to the 99th percentile of values above zero. Others: the
    first to the 99th percentile, from zero on for imputed genes; weights symmetric about one half.
    The upper end is always above the lower.

    Raises
    ------
    BadRequest
        If the layer is a label.
    """
    reject_label(key, "range")
    found = _sample(values, section, key)
    return span_of_values(found[np.isfinite(found)], key)


def span_of_values(found: NDArray[np.float32], key: LayerKey) -> tuple[float, float]:
    """Return the colour range of finite values of a layer."""
    if key.kind in ("measured", "density"):
        found = found[found > 0]
    if not len(found):
        return 0.0, 1.0
    lo, hi = (float(v) for v in np.percentile(found, [1, 99]))
    if key.kind in ("measured", "density"):
        lo = 0.0
    elif key.kind == "weight":
        half = max(abs(lo - 0.5), abs(hi - 0.5), 0.01)
        lo, hi = 0.5 - half, 0.5 + half
    elif key.kind == "imputed":
        lo = max(0.0, lo)
    return (lo, hi) if hi > lo else (lo, lo + 1.0)


def layer_histogram(values: Values, section: str, key: LayerKey, bins: int = 40) -> Histogram:
    """Return the distribution of a numeric layer.

    Raises
    ------
    BadRequest
        If the layer is a label.
    """
    reject_label(key, "histogram")
    total = values.atlas.n_cells if section == MONTAGE else values.atlas.section(section).n_cells
    found = _sample(values, section, key, SAMPLE if section == MONTAGE else total)
    known = sum(s.n_cells for s in _with_values(values, key)) if section == MONTAGE else total
    scale = known / max(len(found), 1)
    finite = found[np.isfinite(found)]
    shown = finite[finite != 0] if key.kind in ZERO_IS_NOTHING else finite
    lo, hi = span_of_values(finite, key)
    if len(shown):
        lo = min(lo, float(shown.min()))
        hi = max(hi, float(np.percentile(shown, 99.9)))
    counts, edges = np.histogram(np.minimum(shown, hi), bins=bins, range=(lo, hi))
    return Histogram(
        np.asarray(edges, dtype=np.float64),
        np.rint(counts * scale).astype(np.int64),
        round((len(finite) - len(shown)) * scale),
        round((len(found) - len(finite)) * scale) + total - known,
    )


def _sample(values: Values, section: str, key: LayerKey, most: int = SAMPLE) -> NDArray[np.float32]:
    if section != MONTAGE:
        return _spread(values, values.atlas.section(section), key, most)
    sections = _with_values(values, key)
    step = max(1, -(-len(sections) // SAMPLED_SECTIONS))
    chosen = sections[::step]
    cells = sum(s.n_cells for s in chosen)
    parts = [_spread(values, s, key, max(1, most * s.n_cells // max(cells, 1))) for s in chosen]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _with_values(values: Values, key: LayerKey) -> list[SectionInfo]:
    return [s for s in values.atlas.sections() if values.has(s, key)]


def _spread(values: Values, info: SectionInfo, key: LayerKey, most: int) -> NDArray[np.float32]:
    """Return values of at most ``most`` cells, evenly spread over the rows of a section."""
    if info.n_cells <= most:
        return values.of(info, key, info.rows)
    rows = np.linspace(0, info.n_cells - 1, most).astype(np.int64)
    return values.at(info, key, rows)
