"""The curled sheets of the hippocampal formation, in a plane that follows the callosum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.demo.shapes import Field, Frame, knots

#: Control points of the pyramidal sheet (CA1 to CA3) and of the granule sheet, as fractions of
#: the length along the callosum and of the thickness below it.
CA_SHEET = (
    (0.02, 0.34),
    (0.2, 0.27),
    (0.4, 0.25),
    (0.6, 0.27),
    (0.78, 0.34),
    (0.9, 0.47),
    (0.945, 0.62),
    (0.91, 0.76),
    (0.81, 0.83),
    (0.69, 0.82),
    (0.58, 0.77),
    (0.47, 0.72),
)
DENTATE_SHEET = (
    (0.58, 0.56), (0.46, 0.525), (0.32, 0.52), (0.19, 0.55), (0.115, 0.63),
    (0.10, 0.72), (0.15, 0.80), (0.26, 0.85), (0.37, 0.865), (0.47, 0.86),
)  # fmt: skip
#: Places along the pyramidal sheet where CA1 ends and CA3 begins.
CA1_END, CA3_START = 0.52, 0.60


def hippocampal(f: Frame) -> tuple[Field, Field, Field, Field]:
    """Return (along, below, length, thickness): fractions 0..1 inside, and millimetres."""
    near = knots(f.a, ((-4.2, 62.0), (-3.7, 40.0), (-3.2, 19.0), (-2.6, 0.0), (-1.8, 0.0)))
    far = knots(
        f.a,
        (
            (-4.2, 110.0),
            (-3.7, 128.0),
            (-3.1, 127.0),
            (-2.6, 96.0),
            (-2.1, 64.0),
            (-1.5, 43.0),
            (-1.0, 22.0),
        ),
    )
    thick = knots(
        f.a,
        (
            (-4.35, 0.0),
            (-4.0, 0.7),
            (-3.5, 1.25),
            (-2.6, 1.45),
            (-1.8, 1.35),
            (-1.3, 0.85),
            (-0.95, 0.0),
        ),
    )
    thick = np.where((f.a > -4.35) & (f.a < -0.95), thick, 0.0)
    span = np.maximum(far - near, 1.0)
    length = np.radians(span) * 3.05
    along = (f.angle - near) / span
    thick = thick * (0.62 + 0.38 * np.clip(along * length / 0.9, 0.0, 1.0))
    below = (-f.white - white_width(f)) / np.maximum(thick, 1e-3)
    return along, below, length, thick


def white_width(f: Frame) -> Field:
    """Return the thickness of the white matter under the cortex, millimetres."""
    return 0.12 + 0.16 * np.exp(-((f.u / 1.5) ** 2)) + 0.06 * np.exp(-(((f.u - 3.4) / 0.8) ** 2))


def hippocampal_leaf(f: Frame, codes: dict[str, int]) -> NDArray[np.int16]:
    """Return the region code of each point, -1 outside the hippocampal formation."""
    along, below, length, thick = hippocampal(f)
    leaf = np.full(f.u.size, -1, np.int16)
    inside = (along > -0.06) & (along < 1.03) & (below > 0) & (below < 1) & (thick > 0.15)
    rows = np.flatnonzero(inside)
    if rows.size:
        leaf[rows] = _layers(along[rows], below[rows], length[rows], thick[rows], f.a[rows], codes)
    return leaf


def _layers(
    along: Field, below: Field, length: Field, thick: Field, a: Field, codes: dict[str, int]
) -> NDArray[np.int16]:
    """Return the leaf of points known to be inside."""
    ca, ca_at, _ = _sheet_distance(along, below, length, thick, CA_SHEET)
    dg, _, within = _sheet_distance(along, below, length, thick, DENTATE_SHEET)
    thin = np.clip(thick / 1.2, 0.5, 1.0)
    leaf = np.full(along.size, codes["CA strata"], np.int16)
    leaf[(below > 0.86) & (along > 0.66)] = codes["Fimbria"]
    leaf[(dg < 0.20 * thin) & (below > 0.40) & (along < 0.72)] = codes["Dentate molecular"]
    leaf[within & (along < 0.64)] = codes["Dentate hilus"]
    width = np.where(ca_at < CA1_END, 0.048, 0.062) * thin
    pyramidal = ca < width
    leaf[pyramidal & (ca_at < CA1_END)] = codes["CA1 pyramidal"]
    leaf[pyramidal & (ca_at >= CA1_END) & (ca_at < CA3_START)] = codes["CA2 pyramidal"]
    leaf[pyramidal & (ca_at >= CA3_START)] = codes["CA3 pyramidal"]
    leaf[dg < 0.058 * thin] = codes["Dentate granule"]
    leaf[(a < -3.35) & (along < 0.28) & (below < 0.62)] = codes["Subiculum"]
    return leaf


def _curve(control: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Points of a Catmull-Rom curve through the control points, three to a span."""
    p = np.array(control)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.arange(3)[:, None] / 3
    spans = [
        0.5
        * (
            2 * p1
            + (p2 - p0) * t
            + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
            + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        )
        for p0, p1, p2, p3 in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True)
    ]
    return np.vstack([*spans, p[-2]])


def _sheet_distance(
    along: Field,
    below: Field,
    length: Field,
    thick: Field,
    control: tuple[tuple[float, float], ...],
) -> tuple[Field, Field, NDArray[np.bool_]]:
    """Return distance to a sheet (mm), place along it (0..1), and whether inside its bend."""
    curve = _curve(control)
    best = np.full(along.size, np.inf)
    place = np.zeros(along.size)
    crossings = np.zeros(along.size, np.int64)
    x, y = along * length, below * thick
    for k in range(len(curve) - 1):
        (x0, y0), (x1, y1) = curve[k], curve[k + 1]
        dx, dy = (x1 - x0) * length, (y1 - y0) * thick
        px, py = x - x0 * length, y - y0 * thick
        t = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        gap = (px - t * dx) ** 2 + (py - t * dy) ** 2
        closer = gap < best
        best = np.where(closer, gap, best)
        place = np.where(closer, (k + t) / (len(curve) - 1), place)
        between = (y0 > below) != (y1 > below)
        crossings += between & (x0 + (below - y0) * (x1 - x0) / (y1 - y0 + 1e-12) < along)
    return np.sqrt(best), place, crossings % 2 == 1
