"""Regions of the simulated brain: leaves, their parents, cell densities and colours."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from backend.core.layers import Category
from backend.store.colours import oklch_hex


class Region(NamedTuple):
    """A leaf of the region tree; ``density`` is relative to the densest layer (1)."""

    name: str
    parent: str
    density: float


class Family(NamedTuple):
    """A parent: hue in degrees, chroma, and its leaves as (name, density, lightness)."""

    name: str
    hue: float
    chroma: float
    leaves: tuple[tuple[str, float, float], ...]


@cache
def families() -> tuple[Family, ...]:
    """Return the region tree, parents in display order; leaves in anatomical order."""
    return (
        Family(
            "Isocortex",
            255,
            0.14,
            (
                ("L1", 0.14, 0.84),
                ("L2/3 medial", 0.36, 0.60),
                ("L2/3 motor", 0.34, 0.74),
                ("L2/3 somatosensory", 0.36, 0.70),
                ("L2/3 visual", 0.37, 0.78),
                ("L2/3 lateral", 0.35, 0.66),
                ("L4", 0.46, 0.56),
                ("L5", 0.25, 0.64),
                ("L6a", 0.34, 0.48),
                ("L6b", 0.28, 0.44),
            ),
        ),
        Family(
            "Hippocampal formation",
            168,
            0.12,
            (
                ("CA1 pyramidal", 0.85, 0.50),
                ("CA2 pyramidal", 0.75, 0.62),
                ("CA3 pyramidal", 0.65, 0.56),
                ("CA strata", 0.15, 0.85),
                ("Dentate granule", 1.0, 0.44),
                ("Dentate molecular", 0.13, 0.79),
                ("Dentate hilus", 0.20, 0.66),
                ("Subiculum", 0.32, 0.70),
                ("Entorhinal", 0.32, 0.74),
            ),
        ),
        Family(
            "Olfactory areas",
            130,
            0.13,
            (
                ("Piriform L1", 0.13, 0.84),
                ("Piriform L2", 0.75, 0.52),
                ("Piriform L3", 0.24, 0.72),
                ("Olfactory tubercle", 0.38, 0.64),
                ("Anterior olfactory nucleus", 0.36, 0.78),
                ("Bulb granule", 0.85, 0.56),
                ("Bulb plexiform", 0.20, 0.82),
                ("Bulb glomerular", 0.45, 0.66),
            ),
        ),
        Family(
            "Amygdala and subplate",
            108,
            0.14,
            (
                ("Endopiriform", 0.30, 0.76),
                ("Basolateral amygdala", 0.30, 0.68),
                ("Central amygdala", 0.34, 0.82),
                ("Cortical amygdala", 0.30, 0.62),
            ),
        ),
        Family(
            "Striatum",
            83,
            0.14,
            (
                ("Caudoputamen", 0.32, 0.83),
                ("Accumbens", 0.36, 0.75),
                ("Lateral septum", 0.30, 0.68),
            ),
        ),
        Family(
            "Pallidum",
            340,
            0.11,
            (
                ("Globus pallidus", 0.20, 0.78),
                ("Ventral pallidum", 0.20, 0.70),
                ("Medial septum", 0.22, 0.62),
            ),
        ),
        Family(
            "Thalamus",
            50,
            0.15,
            (
                ("Thalamus lateral", 0.24, 0.76),
                ("Thalamus anteromedial", 0.28, 0.68),
                ("Thalamus ventral", 0.22, 0.72),
                ("Geniculate", 0.25, 0.62),
                ("Reticular nucleus", 0.26, 0.56),
                ("Habenula", 0.60, 0.48),
            ),
        ),
        Family(
            "Hypothalamus",
            12,
            0.14,
            (
                ("Preoptic area", 0.30, 0.72),
                ("Medial hypothalamus", 0.28, 0.65),
                ("Lateral hypothalamus", 0.20, 0.78),
                ("Ventromedial nucleus", 0.45, 0.54),
                ("Arcuate nucleus", 0.50, 0.47),
                ("Zona incerta", 0.22, 0.84),
            ),
        ),
        Family(
            "Midbrain",
            318,
            0.12,
            (
                ("Superior colliculus", 0.30, 0.72),
                ("Inferior colliculus", 0.30, 0.62),
                ("Periaqueductal grey", 0.28, 0.56),
                ("Midbrain reticular", 0.20, 0.81),
                ("Substantia nigra", 0.20, 0.48),
            ),
        ),
        Family("Hindbrain", 295, 0.12, (("Pons", 0.20, 0.66), ("Medulla", 0.20, 0.77))),
        Family(
            "Cerebellum",
            210,
            0.085,
            (
                ("Cerebellar molecular", 0.22, 0.82),
                ("Purkinje layer", 0.40, 0.46),
                ("Cerebellar granular", 0.80, 0.64),
                ("Cerebellar nuclei", 0.20, 0.54),
            ),
        ),
        Family(
            "Fibre tracts",
            260,
            0.005,
            (
                ("Corpus callosum", 0.24, 0.74),
                ("Internal capsule", 0.22, 0.68),
                ("Fimbria", 0.24, 0.78),
                ("Anterior commissure", 0.24, 0.62),
                ("Arbor vitae", 0.18, 0.71),
            ),
        ),
        Family(
            "Ventricles and meninges",
            255,
            0.03,
            (
                ("Ventricle lining", 0.9, 0.46),
                ("Choroid plexus", 0.6, 0.55),
                ("Meninges", 0.40, 0.60),
            ),
        ),
    )


@cache
def regions() -> tuple[Region, ...]:
    """Return the leaves; the place of a leaf is its code everywhere in the demo."""
    return tuple(Region(name, f.name, d) for f in families() for name, d, _ in f.leaves)


def region_codes() -> dict[str, int]:
    """Return the code of each leaf by name."""
    return {region.name: code for code, region in enumerate(regions())}


@cache
def region_categories() -> tuple[Category, ...]:
    """Return the leaves as categories of the label ``region``."""
    return tuple(
        Category(name, oklch_hex(light, f.chroma, f.hue + 6 * (-1) ** k), f.name)
        for f in families()
        for k, (name, _, light) in enumerate(f.leaves)
    )
