"""Brain stem, cerebellum with its folia, and the olfactory bulb."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.demo.shapes import Field, ellipsoid, knots, squircle_depth

#: Folds of the cerebellar cortex between its front and its back.
FOLIA = 7


def brainstem_depth(u: Field, h: Field, a: Field) -> Field:
    """Return the depth below the surface of midbrain, pons and medulla."""
    wide = knots(
        a,
        (
            (-8.0, 1.3),
            (-7.2, 2.1),
            (-6.4, 2.5),
            (-5.2, 2.6),
            (-4.2, 2.65),
            (-3.4, 2.25),
            (-2.7, 2.0),
        ),
    )
    top = knots(
        a,
        (
            (-7.8, 1.2),
            (-6.4, 1.65),
            (-5.7, 1.9),
            (-5.3, 3.3),
            (-4.9, 4.3),
            (-4.2, 4.35),
            (-3.4, 4.15),
            (-2.8, 3.4),
        ),
    )
    low = knots(
        a, ((-7.8, -1.3), (-6.4, -1.7), (-5.0, -1.65), (-4.2, -1.5), (-3.4, -1.0), (-2.7, -1.2))
    )
    middle = (top + low) / 2
    depth, _, _ = squircle_depth(u, h, wide, top - middle, middle - low, middle, 2.5)
    front = -2.75 + 0.16 * (h - 1.2) + 0.1 * np.sin(2.5 * h) - 0.1 * u
    return np.where((a > -7.9) & (a < front), depth, -1.0)


def cerebellum_depth(u: Field, h: Field, a: Field) -> Field:
    """Return the depth below the outer surface of the cerebellum."""
    furrow = 0.16 * np.exp(-(((u - 1.25) / 0.28) ** 2))
    main = ellipsoid(u, h + furrow, a, (0.0, 3.05, -6.35), (4.0, 1.75, 1.45))
    lobule = ellipsoid(u, h, a, (3.6, 0.6, -6.0), (0.65, 0.9, 0.7))
    return np.maximum((1 - main) * 1.6, (1 - lobule) * 0.7)


def cerebellar_leaf(
    u: Field, h: Field, a: Field, depth: Field, codes: dict[str, int]
) -> NDArray[np.int16]:
    """Return the layer of points inside the cerebellum; folds follow sheets about its root."""
    turn = np.arctan2(h - 2.15, -5.2 - a)
    reach = np.hypot(h - 2.15, a + 5.2)
    wave = turn * FOLIA / np.pi + 0.22 * np.sin(2.1 * u) + 0.1 * np.sin(4.3 * u)
    sheet = np.abs(wave - np.round(wave)) * reach * np.pi / FOLIA
    start = 0.45 + 0.35 * ((np.round(wave) * 0.618) % 1.0)
    to_sheet = np.hypot(sheet, np.maximum(start + 0.25 - reach, 0.0))
    pial = np.minimum(depth, to_sheet)
    names = ("Cerebellar molecular", "Purkinje layer", "Cerebellar granular", "Arbor vitae")
    layer = np.searchsorted([0.15, 0.185, 0.32], pial)
    leaf = np.array([codes[n] for n in names], np.int16)[layer]
    deep = ellipsoid(u, h, a, (1.35, 2.2, -6.1), (1.1, 0.42, 0.5)) < 1
    return np.where(deep & (layer == 3), np.int16(codes["Cerebellar nuclei"]), leaf)


def bulb_depth(u: Field, h: Field, a: Field) -> Field:
    """Return the depth below the surface of the olfactory bulb."""
    radius = ellipsoid(u, h, a, (0.98, 1.15, 3.45), (0.88, 1.65, 1.35))
    return (1 - radius) * 0.95


def bulb_leaf(depth: Field, codes: dict[str, int]) -> NDArray[np.int16]:
    """Return the layer of points inside the olfactory bulb."""
    names = ("Bulb glomerular", "Bulb plexiform", "Bulb granule")
    return np.array([codes[n] for n in names], np.int16)[np.searchsorted([0.14, 0.36], depth)]
