"""Ventricles: lumen without cells, lining and choroid plexus."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from backend.demo.hippocampus import hippocampal
from backend.demo.shapes import Field, Frame, knots

#: Thickness of the lining, millimetres.
LINING_MM = 0.045


def lumen_distance(f: Frame) -> Field:
    """Return the distance to the nearest ventricle (mm), negative inside its lumen."""
    parts = (_lateral_front(f), _lateral_back(f), _third(f), _aqueduct(f), _fourth(f))
    return reduce(np.minimum, parts)


def choroid(f: Frame) -> NDArray[np.bool_]:
    """Return where the choroid plexus floats in the lumen."""
    front = _blob(f, 1.12, 2.25, -0.45, 0.07, 0.36, 0.45)
    back = _blob(f, 3.42, 1.9, -2.0, 0.10, 0.5, 0.5)
    third = _blob(f, 0.0, 3.05, -1.5, 0.09, 0.06, 0.7)
    fourth = _blob(f, 0.6, 1.72, -6.2, 0.55, 0.06, 0.5)
    return reduce(np.minimum, (front, back, third, fourth)) < 0


def _blob(f: Frame, u: float, h: float, a: float, ru: float, rh: float, ra: float) -> Field:
    radius = np.sqrt(((f.u - u) / ru) ** 2 + ((f.h - h) / rh) ** 2 + ((f.a - a) / ra) ** 2)
    return (radius - 1) * min(ru, rh)


def _slit(across: Field, along: Field, half_width: Field, half_length: Field) -> Field:
    """Distance to a lens, right to first order and on its axes."""
    x, y = across / half_width, along / half_length
    radius = np.maximum(np.hypot(x, y), 1e-6)
    return (radius - 1) * radius / np.hypot(x / half_width, y / half_length)


def _lateral_front(f: Frame) -> Field:
    """Slit between septum and caudoputamen, widening into a horn under the callosum."""
    size = knots(f.a, ((-0.95, 0.02), (-0.4, 1.0), (0.5, 1.0), (1.1, 0.6), (1.3, 0.02)))
    slit = _slit(f.u - 0.98 - 0.10 * (f.h - 1.8), f.h - 1.95, 0.13 * size, 1.0 * size)
    roof = -f.white - 0.45
    horn = _slit(roof, f.u - 1.35, 0.17 * size, 0.55 * size)
    return np.where(size > 0.1, np.minimum(slit, np.where(f.h > 1.6, horn, 9.0)), 9.0)


def _lateral_back(f: Frame) -> Field:
    """Slit along the far end of the hippocampus."""
    along, below, length, thick = hippocampal(f)
    size = knots(f.a, ((-3.05, 0.02), (-2.8, 0.8), (-2.0, 1.0), (-1.4, 0.6), (-1.0, 0.02)))
    lens = _slit((along - 1.045) * length, (below - 0.5) * thick, 0.11 * size, 0.55 * thick + 0.02)
    near = (thick > 0.3) & (below > -0.2) & (below < 1.0) & (f.u > 1.2)
    return np.where((size > 0.1) & near, lens, 9.0)


def _third(f: Frame) -> Field:
    size = knots(f.a, ((-2.7, 0.02), (-2.3, 1.0), (-0.3, 0.9), (0.3, 0.5), (0.55, 0.02)))
    low = _slit(f.u, f.h + 0.75, 0.06 * size, 1.1 * size)
    high_size = knots(f.a, ((-2.5, 0.02), (-2.1, 1.0), (-1.0, 0.9), (-0.6, 0.02)))
    high = _slit(f.u, f.h - 3.02, 0.16 * high_size, 0.13 * high_size)
    return np.minimum(np.where(size > 0.1, low, 9.0), np.where(high_size > 0.1, high, 9.0))


def _aqueduct(f: Frame) -> Field:
    tube = _slit(f.u, f.h - 2.4, np.full_like(f.u, 0.12), np.full_like(f.u, 0.2))
    return np.where((f.a < -2.7) & (f.a > -5.3), tube, 9.0)


def _fourth(f: Frame) -> Field:
    size = knots(f.a, ((-7.2, 0.02), (-6.6, 0.9), (-5.7, 1.0), (-5.2, 0.02)))
    lens = _slit(f.h - 1.72 + 0.08 * f.u, f.u, 0.17 * size, 1.2 * size)
    return np.where(size > 0.1, lens, 9.0)
