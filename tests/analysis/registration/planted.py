"""A small made-up brain with six regions, and sections cut out of it by known maps."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from backend.analysis.registration.planes import CORONAL
from backend.analysis.registration.reference import Reference
from backend.analysis.registration.slices import Slices
from backend.analysis.registration.terms import parse_terms

STEP = 200.0
SHAPE = (30, 30, 40)
NAMES = ("shell", "core", "top", "bottom", "spots", "rod")


@lru_cache(maxsize=1)
def brain() -> Reference:
    """Return a brain 6 mm long, 6 mm deep and 8 mm wide; all regions change along its axis."""
    a, d, m = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    a, d, m = (a - 14.5) / 15, (d - 14.5) / 15, (m - 19.5) / 20
    radius = np.sqrt((a / 1.05) ** 2 + (d / 0.9) ** 2 + (m / 0.9) ** 2)
    labels = np.zeros(SHAPE, np.int16)
    labels[radius < 1] = 1
    labels[radius < 0.7] = 2
    labels[(np.hypot(d + 0.4, m) < 0.3 + 0.15 * a) & (radius < 0.9)] = 3
    labels[(d > 0.35 - 0.2 * a) & (np.abs(m) < 0.45) & (radius < 0.9)] = 4
    labels[(np.hypot(d - 0.1, np.abs(m) - 0.5) < 0.16) & (radius < 0.95)] = 5
    labels[(np.abs(d + 0.05) < 0.09) & (np.abs(m) < 0.25 + 0.2 * a) & (radius < 0.9)] = 6
    tree = (("root", "root", "", (1, 2, 3, 4, 5, 6)),) + tuple(
        (name, f"the {name}", "root", (i + 1,)) for i, name in enumerate(NAMES)
    )
    return Reference(labels, tree, (0.0, 0.0, 0.0), STEP, licence="none", name="made up")


@lru_cache(maxsize=1)
def coronal() -> Slices:
    """Return the coronal slices of the brain through all regions."""
    return Slices(brain(), CORONAL, [parse_terms(name, brain()) for name in NAMES])


def cells_at(position_um: float, n: int = 2500, seed: int = 0):
    """Return places (n, 2) in a slice and the regions of cells spread over its tissue."""
    picture = coronal().picture(position_um, 50.0)
    rng = np.random.default_rng(seed)
    pixels = picture.centres(picture.tissue)
    uv = pixels[rng.integers(len(pixels), size=n)] + rng.uniform(-25, 25, (n, 2))
    y, x = picture.pixels(uv).T
    inside = picture.masks[:, y, x]
    codes = np.where(inside.any(axis=0), inside.argmax(axis=0), -1)
    return uv, codes


def bent(uv, size_um: float = 120.0):
    """Return places moved by a smooth displacement of about ``size_um``."""
    phase = uv / 2500.0
    return uv + size_um * np.stack([np.sin(phase[:, 1] * 2), np.cos(phase[:, 0] * 2)], axis=1)


def turned(uv, degrees: float, mirrored: bool = False, scale: float = 1.0):
    """Return places turned and moved, as a section on its slide."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    face = np.array([-1.0 if mirrored else 1.0, 1.0])
    return scale * (uv * face) @ turn.T + np.array([12_000.0, -3_000.0])
