"""Subcortical nuclei: ellipsoids that share the inside of the brain; the nearest one wins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.demo.shapes import Field, ellipsoid

Place = tuple[str, tuple[float, float, float], tuple[float, float, float]]

#: (leaf, centre (u, h, a), half axes), millimetres.
FOREBRAIN: tuple[Place, ...] = (
    ("Caudoputamen", (2.5, 1.75, 0.35), (1.4, 1.6, 1.9)),
    ("Caudoputamen", (3.45, 1.5, -1.2), (0.5, 1.2, 0.9)),
    ("Accumbens", (1.15, -0.15, 1.25), (0.8, 0.75, 0.75)),
    ("Lateral septum", (0.42, 1.75, 0.4), (0.42, 1.15, 0.8)),
    ("Medial septum", (0.0, 0.5, 0.6), (0.32, 0.9, 0.5)),
    ("Globus pallidus", (2.35, 0.8, -0.65), (0.7, 0.85, 0.85)),
    ("Ventral pallidum", (1.55, -0.85, 0.2), (1.0, 0.5, 0.9)),
    ("Ventral pallidum", (0.7, 0.35, -0.05), (0.5, 0.6, 0.35)),
    ("Preoptic area", (0.5, -0.9, 0.1), (0.8, 0.9, 0.65)),
    ("Medial hypothalamus", (0.4, -0.65, -1.1), (0.55, 0.75, 0.8)),
    ("Medial hypothalamus", (0.4, -0.9, -2.5), (0.7, 0.7, 0.5)),
    ("Lateral hypothalamus", (1.3, -0.8, -1.4), (0.5, 0.75, 1.3)),
    ("Ventromedial nucleus", (0.58, -1.25, -1.5), (0.40, 0.38, 0.45)),
    ("Arcuate nucleus", (0.2, -1.8, -1.7), (0.26, 0.28, 0.7)),
    ("Zona incerta", (1.5, 0.15, -1.7), (0.95, 0.22, 0.9)),
    ("Thalamus anteromedial", (0.55, 2.0, -1.2), (0.7, 0.75, 0.65)),
    ("Thalamus anteromedial", (0.35, 1.85, -1.7), (0.6, 0.75, 0.7)),
    ("Thalamus lateral", (1.55, 2.4, -1.6), (0.9, 0.5, 0.9)),
    ("Thalamus ventral", (1.75, 1.35, -1.5), (0.85, 0.75, 0.85)),
    ("Thalamus ventral", (0.8, 0.8, -1.5), (0.75, 0.42, 0.8)),
    ("Geniculate", (2.6, 2.1, -2.35), (0.55, 0.85, 0.6)),
    ("Habenula", (0.36, 2.78, -1.6), (0.28, 0.26, 0.5)),
    ("Basolateral amygdala", (3.1, -0.35, -1.4), (0.42, 0.8, 0.8)),
    ("Central amygdala", (2.55, -0.15, -1.15), (0.42, 0.45, 0.5)),
    ("Cortical amygdala", (2.35, -1.2, -1.4), (0.45, 0.6, 0.8)),
    ("Endopiriform", (3.3, -0.5, 0.2), (0.4, 0.7, 1.3)),
    ("Anterior olfactory nucleus", (1.15, 0.6, 2.45), (0.85, 1.1, 0.6)),
)
BRAINSTEM: tuple[Place, ...] = (
    ("Superior colliculus", (1.0, 3.65, -3.75), (1.6, 0.8, 0.9)),
    ("Inferior colliculus", (1.3, 3.4, -4.95), (1.4, 1.1, 0.6)),
    ("Periaqueductal grey", (0.3, 2.35, -4.0), (0.65, 0.7, 1.3)),
    ("Midbrain reticular", (1.4, 1.6, -3.7), (1.2, 1.1, 1.4)),
    ("Substantia nigra", (1.45, 0.25, -3.2), (0.75, 0.24, 0.6)),
    ("Pons", (1.0, -0.5, -4.6), (1.8, 1.1, 1.1)),
    ("Medulla", (1.0, 0.0, -6.7), (2.0, 1.6, 1.5)),
)


def nearest_nucleus(
    u: Field, h: Field, a: Field, places: tuple[Place, ...], codes: dict[str, int]
) -> NDArray[np.int16]:
    """Return the leaf whose ellipsoid is nearest in its own units."""
    best = np.full(u.size, np.inf)
    leaf = np.full(u.size, -1, np.int16)
    for name, centre, axes in places:
        radius = ellipsoid(u, h, a, centre, axes)
        closer = radius < best
        best = np.where(closer, radius, best)
        leaf = np.where(closer, np.int16(codes[name]), leaf)
    return leaf


def thalamic_radius(u: Field, h: Field, a: Field) -> Field:
    """Return the radius in units of the whole thalamus, 1 on its surface."""
    return ellipsoid(u, h, a, (0.95, 1.5, -1.65), (1.95, 1.4, 1.1))
