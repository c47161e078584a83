"""Outlines of the simulated brain and depths below them; closed forms, millimetres.

Inside this package ``u`` is the distance from the mid-line, ``h`` the height (up), ``a`` the place
along the long axis (anterior positive, 0 near the middle of the callosum). Everything depends on
``u``, never on the side, so the hemispheres mirror each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Field = NDArray[np.float64]

#: Height of section coordinate y = 0, millimetres.
TOP_MM = 5.6


class Frame(NamedTuple):
    """Points and the fields that all structures share; each (n,), millimetres.

    ``depth`` is below the outer surface of the cerebrum (negative outside), ``angle`` degrees from
    the dorsal pole around the centre of the cross-section, ``pial`` the depth below the nearest
    surface with the medial wall, ``white`` the distance to the white matter (negative below it),
    ``layer`` 0 at the pia to 1 at the white matter.
    """

    u: Field
    h: Field
    a: Field
    depth: Field
    angle: Field
    pial: Field
    white: Field
    layer: Field


def knots(a: Field, table: tuple[tuple[float, float], ...]) -> Field:
    """Return a smooth curve through (place, value) pairs, constant beyond the ends."""
    at = np.array([place for place, _ in table])
    value = np.array([v for _, v in table])
    curve: Field = _through(np.ascontiguousarray(a), at, value, np.gradient(value, at))
    return curve


@njit(cache=True, nogil=True)
def _through(a: Field, at: Field, value: Field, slope: Field) -> Field:
    """Return the cubic pieces with given values and slopes at their ends."""
    curve = np.empty(a.size)
    for j in range(a.size):
        i = 0
        while i < at.size - 2 and a[j] > at[i + 1]:
            i += 1
        step = at[i + 1] - at[i]
        f = min(max((a[j] - at[i]) / step, 0.0), 1.0)
        f2, f3 = f * f, f * f * f
        curve[j] = (
            (2 * f3 - 3 * f2 + 1) * value[i]
            + (f3 - 2 * f2 + f) * step * slope[i]
            + (3 * f2 - 2 * f3) * value[i + 1]
            + (f3 - f2) * step * slope[i + 1]
        )
    return curve


def soft_min(first: Field, second: Field, width: float) -> Field:
    """Return the smaller of two fields, rounded where they differ by less than ``width``."""
    f = np.clip(0.5 + 0.5 * (second - first) / width, 0.0, 1.0)
    smaller: Field = second + (first - second) * f - width * f * (1 - f)
    return smaller


def soft_max(first: Field, second: Field, width: float) -> Field:
    """Return the larger of two fields, rounded where they differ by less than ``width``."""
    return -soft_min(-first, -second, width)


def squircle_depth(
    u: Field, h: Field, width: Field, up: Field, down: Field, middle: Field, power: float
) -> tuple[Field, Field, Field]:
    """Return (depth, u, h): depth below a superellipse centred at (0, middle), outward normal.

    The depth is right to first order in the distance, and exact on the axes.
    """
    half = np.where(h > middle, up, down)
    du = np.maximum(np.abs(u) / width, 1e-6)
    dh = np.maximum(np.abs(h - middle) / half, 1e-6)
    pu, ph = du ** (power - 1), dh ** (power - 1)
    total = pu * du + ph * dh
    rho = total ** (1 / power)
    size = np.maximum(np.hypot(pu / width, ph / half), 1e-9)
    depth: Field = (1 - rho) / np.maximum(rho / total * size, 1e-3)
    return depth, pu / width / size, np.sign(h - middle) * ph / half / size


def ellipsoid(
    frame_u: Field,
    h: Field,
    a: Field,
    centre: tuple[float, float, float],
    axes: tuple[float, float, float],
) -> Field:
    """Return the radius in units of an ellipsoid: 0 in its centre, 1 on its surface."""
    radius: Field = np.sqrt(
        ((frame_u - centre[0]) / axes[0]) ** 2
        + ((h - centre[1]) / axes[1]) ** 2
        + ((a - centre[2]) / axes[2]) ** 2
    )
    return radius


def warped(u: Field, h: Field, a: Field) -> tuple[Field, Field]:
    """Return (u, h) bent by slow waves that keep the mid-line where it is."""
    hold = u / (u + 0.6)
    bent_u = u + hold * (0.06 * np.sin(1.5 * h + 0.9 * a) + 0.03 * np.sin(3.1 * h - 1.7 * a))
    bent_h = h + 0.06 * np.sin(1.3 * u + 0.7 * a) + 0.03 * np.sin(2.7 * u - 1.1 * a)
    return bent_u, bent_h


def cerebrum_centre(a: Field) -> Field:
    """Return the height of the widest place of the cerebrum."""
    return knots(a, ((-4.5, 1.9), (-2.5, 1.6), (0.0, 1.3), (2.0, 1.3), (3.2, 1.6)))


def cerebrum_depth(u: Field, h: Field, a: Field) -> tuple[Field, Field]:
    """Return depth below the outer surface (fissure and notch not counted), and angle in degrees.

    The angle is that of the place on the surface straight outward, around the cerebrum's centre.
    """
    wide = knots(
        a,
        (
            (-5.2, 4.3),
            (-4.3, 5.0),
            (-3.2, 5.35),
            (-2.1, 5.3),
            (-1.0, 5.05),
            (0.1, 4.75),
            (1.2, 4.2),
            (2.3, 3.2),
            (2.9, 2.3),
            (3.3, 1.3),
        ),
    )
    top = knots(
        a,
        (
            (-5.2, 4.5),
            (-4.3, 4.95),
            (-3.2, 5.25),
            (-2.1, 5.15),
            (-1.0, 4.9),
            (0.1, 4.65),
            (1.2, 4.25),
            (2.3, 3.75),
            (2.9, 3.3),
            (3.3, 2.6),
        ),
    )
    low = knots(
        a,
        (
            (-5.2, -0.2),
            (-4.3, -1.3),
            (-3.2, -1.7),
            (-2.1, -2.05),
            (-1.0, -2.1),
            (0.1, -2.0),
            (1.2, -1.75),
            (2.3, -0.9),
            (2.9, 0.0),
            (3.3, 0.9),
        ),
    )
    centre = cerebrum_centre(a)
    depth, nu, nh = squircle_depth(u, h, wide, top - centre, centre - low, centre, 2.25)
    reach = np.clip(depth, 0.0, 2.6)
    angle = np.degrees(np.arctan2(u + reach * nu, h + reach * nh - centre))
    depth = soft_min(depth, 1.8 * (a + 4.95), 0.6)
    return soft_min(depth, 1.1 * (3.35 - a), 0.5), angle


def beside_notch(u: Field, h: Field, a: Field) -> Field:
    """Return the distance to the notch between the temporal lobe and the base of the brain."""
    peak = knots(
        a,
        (
            (-4.2, 0.8),
            (-3.2, -0.3),
            (-2.6, -0.95),
            (-2.0, -1.2),
            (-1.4, -1.5),
            (-0.8, -2.1),
            (0.0, -3.5),
        ),
    )
    above = h - peak
    wall = (np.abs(u - 2.05) + 0.42 * above) / 1.085
    apex = np.hypot(u - 2.05, above)
    return np.where(0.42 * np.abs(u - 2.05) > above, wall, apex)


def frame(u: Field, h: Field, a: Field) -> Frame:
    """Return the shared fields of points given in warped millimetres."""
    hull, angle = cerebrum_depth(u, h, a)
    depth = soft_min(hull, beside_notch(u, h, a), 0.15)
    midline = knots(a, ((-3.2, 1.05), (-2.3, 1.1), (-1.2, 1.3), (0.0, 1.55), (1.0, 1.75)))
    side = knots(a, ((-4.0, 0.9), (-2.5, 1.0), (0.0, 1.15), (1.6, 1.1), (2.6, 0.8)))
    thick = side + (midline - side) * np.exp(-((u / 1.0) ** 2)) - 0.0012 * np.maximum(angle - 60, 0)
    thick = thick + 0.04 * np.sin(2.3 * np.radians(angle) * 2 + a)
    white = thick - hull
    front = knots(a, ((0.6, -4.0), (1.15, 0.35), (1.6, 0.95), (2.6, 1.0)))
    white = np.where(a > 0.6, soft_max(white, front - u, 0.5), white)
    pial = soft_min(hull, u - fissure(a), 0.55)
    layer = np.clip(pial / np.maximum(pial + np.maximum(white, 0.0), 1e-3), 0.0, 1.0)
    return Frame(u, h, a, depth, angle, pial, white, layer)


def fissure(a: Field) -> Field:
    """Return half the width of the fissure between the hemispheres."""
    return knots(
        a, ((-4.8, 1.4), (-4.2, 0.75), (-3.4, 0.22), (-2.4, 0.06), (2.0, 0.05), (3.2, 0.15))
    )


def rhinal(a: Field) -> Field:
    """Return the angle of the rhinal fissure, where the isocortex ends, degrees."""
    return knots(
        a, ((-4.0, 112.0), (-2.0, 114.0), (0.0, 109.0), (1.2, 107.0), (2.3, 120.0), (3.0, 150.0))
    )
