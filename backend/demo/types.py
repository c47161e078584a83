"""Cell types of the simulated brain: classes, colours, and what lives in which region."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.layers import Category
from backend.demo.regions import regions
from backend.store.colours import oklch_hex


class CellClass(NamedTuple):
    """A class of types: hue (degrees) and chroma, strength of gradients within its types."""

    name: str
    hue: float
    chroma: float
    gradient: float
    types: tuple[str, ...]


def classes() -> tuple[CellClass, ...]:
    """Return the classes in display order, each with its types."""
    return (
        CellClass("Cortical excitatory", 252, 0.14, 0.9, (
            "L2/3 IT", "L4 IT", "L5 IT", "L5 ET", "L5/6 NP", "L6 CT", "L6b", "Piriform excitatory",
            "Entorhinal excitatory", "Amygdala excitatory", "Claustrum excitatory",
            "Olfactory nucleus excitatory",
        )),
        CellClass("Hippocampal excitatory", 168, 0.12, 0.9, (
            "CA1 pyramidal cell", "CA2 pyramidal cell", "CA3 pyramidal cell",
            "Subiculum excitatory", "Dentate granule cell", "Mossy cell",
        )),
        CellClass("Telencephalic inhibitory", 325, 0.13, 0.5, (
            "Pvalb", "Sst", "Vip", "Lamp5", "Sncg", "Chandelier",
        )),
        CellClass("Striatal projection", 83, 0.14, 0.8, (
            "MSN D1", "MSN D2", "Patch MSN", "Amygdala inhibitory",
        )),
        CellClass("Septal and pallidal", 345, 0.11, 0.6, (
            "Lateral septal", "Pallidal Pvalb", "Pallidal Penk", "Cholinergic",
        )),
        CellClass("Olfactory bulb", 128, 0.13, 0.5, (
            "Bulb granule cell", "Mitral and tufted", "Periglomerular",
        )),
        CellClass("Thalamic", 50, 0.15, 0.8, (
            "Thalamic lateral", "Thalamic anteromedial", "Thalamic geniculate", "Reticular Pvalb",
            "Medial habenula",
        )),
        CellClass("Hypothalamic", 12, 0.14, 0.6, (
            "Hypothalamic excitatory", "Hypothalamic inhibitory", "Ventromedial Nr5a1",
            "Arcuate Agrp", "Arcuate Pomc", "Preoptic Gal", "Lateral Hcrt", "Zona incerta",
        )),
        CellClass("Midbrain and hindbrain", 300, 0.12, 0.6, (
            "Brainstem excitatory", "Brainstem inhibitory", "Collicular excitatory",
            "Dopaminergic", "Serotonergic", "Motor cholinergic",
        )),
        CellClass("Cerebellar", 212, 0.10, 0.4, (
            "Cerebellar granule cell", "Purkinje cell", "Molecular interneuron",
        )),
        CellClass("Astroglia and ependyma", 190, 0.09, 0.5, (
            "Astrocyte TE", "Astrocyte NT", "Bergmann glia", "Ependymal", "Choroid plexus cell",
        )),
        CellClass("Oligodendroglia", 105, 0.11, 0.3, ("Oligodendrocyte", "OPC")),
        CellClass("Vascular", 30, 0.08, 0.2, (
            "Endothelial", "Pericyte", "Smooth muscle", "Meningeal fibroblast",
        )),
        CellClass("Immune", 280, 0.05, 0.2, ("Microglia", "Border macrophage")),
    )  # fmt: skip


def type_names() -> tuple[str, ...]:
    """Return the types; the place of a type is its code everywhere in the demo."""
    return tuple(name for c in classes() for name in c.types)


def type_codes() -> dict[str, int]:
    """Return the code of each type by name."""
    return {name: code for code, name in enumerate(type_names())}


def class_of_type() -> NDArray[np.int16]:
    """Return the code of the class of each type."""
    return np.repeat(np.arange(len(classes())), [len(c.types) for c in classes()]).astype(np.int16)


def gradients_of_type() -> NDArray[np.float32]:
    """Return how strongly each type changes along the brain."""
    strength = np.array([c.gradient for c in classes()], np.float32)
    return strength[class_of_type()]


@cache
def class_categories() -> tuple[Category, ...]:
    """Return the classes as categories of the label ``class``."""
    return tuple(Category(c.name, oklch_hex(0.66, c.chroma, c.hue)) for c in classes())


@cache
def type_categories() -> tuple[Category, ...]:
    """Return the types as categories of the label ``type``."""
    return tuple(
        Category(name, oklch_hex(_light(k, len(c.types)), c.chroma, c.hue + 7 * (-1) ** k), c.name)
        for c in classes()
        for k, name in enumerate(c.types)
    )


def _light(place: int, count: int) -> float:
    """Lightness of the k-th of n shades; neighbours in the list lie far apart."""
    if count == 1:
        return 0.66
    half = (count + 1) // 2
    rank = place // 2 if place % 2 == 0 else half + place // 2
    return 0.84 - 0.36 * rank / (count - 1)


def priors() -> NDArray[np.float32]:
    """Return the share of each type in each region, (regions, types), rows summing to 1."""
    codes = type_codes()
    table = np.zeros((len(regions()), len(codes)), np.float32)
    for row, region in enumerate(regions()):
        for name, share in _mixture(region.name, region.parent).items():
            table[row, codes[name]] += share
    shares: NDArray[np.float32] = table / table.sum(axis=1, keepdims=True)
    return shares


_GLIA = {
    "grey": {"Oligodendrocyte": 0.07, "OPC": 0.03, "Microglia": 0.05, "Endothelial": 0.07,
             "Pericyte": 0.03, "Smooth muscle": 0.01, "Border macrophage": 0.003},
    "white": {"Oligodendrocyte": 0.62, "OPC": 0.06, "Microglia": 0.07, "Endothelial": 0.06,
              "Pericyte": 0.02, "Smooth muscle": 0.01},
    "dense": {"Endothelial": 0.015, "Microglia": 0.01, "Oligodendrocyte": 0.01},
}  # fmt: skip
_TELENCEPHALON = frozenset({
    "Isocortex", "Hippocampal formation", "Olfactory areas", "Amygdala and subplate", "Striatum",
    "Pallidum",
})  # fmt: skip
_DENSE = frozenset({
    "CA1 pyramidal", "CA2 pyramidal", "CA3 pyramidal", "Dentate granule", "Piriform L2",
    "Cerebellar granular", "Bulb granule", "Habenula",
})  # fmt: skip
_CORTEX = {
    "L1": {"Lamp5": 0.10, "Vip": 0.02, "Sncg": 0.02},
    "L2/3": {"L2/3 IT": 0.58, "Vip": 0.05, "Lamp5": 0.03, "Pvalb": 0.03, "Sst": 0.02,
             "Chandelier": 0.006, "Sncg": 0.01},
    "L4": {"L4 IT": 0.58, "L2/3 IT": 0.04, "Pvalb": 0.05, "Sst": 0.03, "Vip": 0.02},
    "L5": {"L5 IT": 0.30, "L5 ET": 0.14, "L5/6 NP": 0.06, "Pvalb": 0.06, "Sst": 0.06,
           "Lamp5": 0.01},
    "L6a": {"L6 CT": 0.46, "L5 IT": 0.08, "L5/6 NP": 0.04, "Pvalb": 0.03, "Sst": 0.04},
    "L6b": {"L6b": 0.45, "L6 CT": 0.06, "Sst": 0.03},
}  # fmt: skip
_NEURONS = {
    "CA1 pyramidal": {"CA1 pyramidal cell": 0.92, "Pvalb": 0.015, "Sst": 0.01},
    "CA2 pyramidal": {"CA2 pyramidal cell": 0.85, "CA1 pyramidal cell": 0.04, "Pvalb": 0.01},
    "CA3 pyramidal": {"CA3 pyramidal cell": 0.92, "Pvalb": 0.015, "Sst": 0.01},
    "CA strata": {"Sst": 0.08, "Pvalb": 0.05, "Vip": 0.03, "Lamp5": 0.06, "Sncg": 0.03},
    "Dentate granule": {"Dentate granule cell": 0.95, "Pvalb": 0.008},
    "Dentate molecular": {"Lamp5": 0.07, "Sst": 0.03, "Pvalb": 0.02},
    "Dentate hilus": {"Mossy cell": 0.38, "Sst": 0.12, "Dentate granule cell": 0.06},
    "Subiculum": {"Subiculum excitatory": 0.62, "Pvalb": 0.04, "Sst": 0.03},
    "Entorhinal": {"Entorhinal excitatory": 0.60, "Pvalb": 0.04, "Sst": 0.03, "Vip": 0.02},
    "Piriform L1": {"Lamp5": 0.08, "Sncg": 0.02},
    "Piriform L2": {"Piriform excitatory": 0.90, "Vip": 0.01},
    "Piriform L3": {"Piriform excitatory": 0.42, "Sst": 0.07, "Pvalb": 0.06},
    "Olfactory tubercle": {"MSN D1": 0.36, "MSN D2": 0.24, "Patch MSN": 0.06},
    "Anterior olfactory nucleus": {"Olfactory nucleus excitatory": 0.66, "Sst": 0.06},
    "Bulb granule": {"Bulb granule cell": 0.90},
    "Bulb plexiform": {"Mitral and tufted": 0.30, "Bulb granule cell": 0.10},
    "Bulb glomerular": {"Periglomerular": 0.60, "Mitral and tufted": 0.06},
    "Endopiriform": {"Claustrum excitatory": 0.55, "Sst": 0.05, "Pvalb": 0.04},
    "Basolateral amygdala": {"Amygdala excitatory": 0.60, "Pvalb": 0.04, "Vip": 0.03, "Sst": 0.03},
    "Central amygdala": {"Amygdala inhibitory": 0.65, "Sst": 0.05, "MSN D2": 0.04},
    "Cortical amygdala": {"Amygdala excitatory": 0.45, "Amygdala inhibitory": 0.15},
    "Caudoputamen": {"MSN D1": 0.33, "MSN D2": 0.32, "Patch MSN": 0.05, "Pvalb": 0.02,
                     "Sst": 0.012, "Cholinergic": 0.012},
    "Accumbens": {"MSN D1": 0.36, "MSN D2": 0.28, "Patch MSN": 0.08, "Cholinergic": 0.01},
    "Lateral septum": {"Lateral septal": 0.68, "Sst": 0.03},
    "Globus pallidus": {"Pallidal Pvalb": 0.34, "Pallidal Penk": 0.22, "Cholinergic": 0.02},
    "Ventral pallidum": {"Pallidal Penk": 0.32, "Pallidal Pvalb": 0.18, "Cholinergic": 0.05},
    "Medial septum": {"Cholinergic": 0.22, "Pallidal Pvalb": 0.22, "Lateral septal": 0.10},
    "Thalamus lateral": {"Thalamic lateral": 0.60, "Thalamic anteromedial": 0.04},
    "Thalamus anteromedial": {"Thalamic anteromedial": 0.64},
    "Thalamus ventral": {"Thalamic lateral": 0.50, "Thalamic anteromedial": 0.10},
    "Geniculate": {"Thalamic geniculate": 0.56, "Brainstem inhibitory": 0.06},
    "Reticular nucleus": {"Reticular Pvalb": 0.66},
    "Habenula": {"Medial habenula": 0.82},
    "Preoptic area": {"Preoptic Gal": 0.22, "Hypothalamic inhibitory": 0.28,
                      "Hypothalamic excitatory": 0.14},
    "Medial hypothalamus": {"Hypothalamic excitatory": 0.34, "Hypothalamic inhibitory": 0.28},
    "Lateral hypothalamus": {"Hypothalamic excitatory": 0.26, "Hypothalamic inhibitory": 0.16,
                             "Lateral Hcrt": 0.10},
    "Ventromedial nucleus": {"Ventromedial Nr5a1": 0.66, "Hypothalamic excitatory": 0.05},
    "Arcuate nucleus": {"Arcuate Agrp": 0.30, "Arcuate Pomc": 0.26, "Ependymal": 0.05,
                        "Hypothalamic inhibitory": 0.10},
    "Zona incerta": {"Zona incerta": 0.52, "Hypothalamic inhibitory": 0.08},
    "Superior colliculus": {"Collicular excitatory": 0.38, "Brainstem inhibitory": 0.26},
    "Inferior colliculus": {"Collicular excitatory": 0.44, "Brainstem inhibitory": 0.20},
    "Periaqueductal grey": {"Brainstem excitatory": 0.34, "Brainstem inhibitory": 0.26,
                            "Serotonergic": 0.04},
    "Midbrain reticular": {"Brainstem excitatory": 0.26, "Brainstem inhibitory": 0.20,
                           "Motor cholinergic": 0.02},
    "Substantia nigra": {"Dopaminergic": 0.34, "Brainstem inhibitory": 0.22},
    "Pons": {"Brainstem excitatory": 0.30, "Brainstem inhibitory": 0.14, "Serotonergic": 0.03},
    "Medulla": {"Brainstem excitatory": 0.24, "Brainstem inhibitory": 0.18,
                "Motor cholinergic": 0.05},
    "Cerebellar molecular": {"Molecular interneuron": 0.62},
    "Purkinje layer": {"Purkinje cell": 0.42, "Bergmann glia": 0.44},
    "Cerebellar granular": {"Cerebellar granule cell": 0.97},
    "Cerebellar nuclei": {"Brainstem excitatory": 0.34, "Brainstem inhibitory": 0.14},
}  # fmt: skip
_SPECIAL = {
    "Ventricle lining": {"Ependymal": 0.9, "Microglia": 0.03, "Astrocyte NT": 0.05},
    "Choroid plexus": {"Choroid plexus cell": 0.88, "Border macrophage": 0.06, "Endothelial": 0.06},
    "Meninges": {"Meningeal fibroblast": 0.62, "Border macrophage": 0.14, "Endothelial": 0.14,
                 "Smooth muscle": 0.06},
}  # fmt: skip


def _mixture(region: str, parent: str) -> dict[str, float]:
    """Return the types of a region with weights that need not sum to 1."""
    if region in _SPECIAL:
        return _SPECIAL[region]
    astrocyte = "Astrocyte TE" if parent in _TELENCEPHALON else "Astrocyte NT"
    if parent == "Fibre tracts":
        return {**_GLIA["white"], "Astrocyte TE" if region != "Arbor vitae" else astrocyte: 0.13}
    neurons = _CORTEX[region.split(" ")[0]] if parent == "Isocortex" else _NEURONS[region]
    glia = _GLIA["dense" if region in _DENSE else "grey"]
    share = 0.03 if region in _DENSE else 0.36 if region.endswith("L1") else 0.12
    if parent == "Thalamus" or parent in ("Midbrain", "Hindbrain"):
        glia = {**glia, "Oligodendrocyte": 0.18}
    if region == "L6b" or region == "L6a":
        glia = {**glia, "Oligodendrocyte": 0.13}
    return {**neurons, **glia, astrocyte: share}
