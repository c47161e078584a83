"""The plan of the simulated brain: which region any point belongs to.

Section coordinates: x micrometres from the mid-line, y downwards, z along the long axis with
anterior positive. The plan is a set of closed forms; no volume is stored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.demo.hindbrain import (
    brainstem_depth,
    bulb_depth,
    bulb_leaf,
    cerebellar_leaf,
    cerebellum_depth,
)
from backend.demo.hippocampus import hippocampal_leaf, white_width
from backend.demo.nuclei import BRAINSTEM, FOREBRAIN, nearest_nucleus, thalamic_radius
from backend.demo.regions import region_codes
from backend.demo.shapes import TOP_MM, Frame, fissure, frame, rhinal, warped
from backend.demo.ventricles import LINING_MM, choroid, lumen_distance

#: Thickness of the meninges, millimetres.
MENINGES_MM = 0.045
#: Behind this place (mm) the gap between the mantle and the brain stem is open.
GAP_MM = -3.15


class Place(NamedTuple):
    """Where points are: region code (-1 outside and in a lumen) and depth in the cortex.

    leaf : (n,) int16
    layer : (n,) float32
        0 at the surface to 1 at the white matter; 0.5 where there is no cortex.
    lumen : (n,) bool
        Inside a ventricle.
    """

    leaf: NDArray[np.int16]
    layer: NDArray[np.float32]
    lumen: NDArray[np.bool_]


class _Canvas:
    """Region codes painted one structure over the other."""

    def __init__(self, f: Frame) -> None:
        self.frame = f
        self.codes = region_codes()
        self.leaf = np.full(f.u.size, -1, np.int16)

    def paint(self, mask: NDArray[np.bool_], name: str) -> None:
        """Give the points of ``mask`` to the region ``name``."""
        self.leaf[mask] = self.codes[name]


def locate(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Place:
    """Return the region of points given in micrometres; the three broadcast to (n,)."""
    px, py, pz = np.broadcast_arrays(*(np.asarray(v, np.float64).ravel() for v in (x, y, z)))
    u0, h0, a = np.abs(px) / 1000, TOP_MM - py / 1000, pz / 1000
    u, h = warped(u0, h0, a)
    f = frame(u, h, a)
    canvas = _Canvas(f)
    surface = _paint_bodies(canvas)
    inside = canvas.leaf >= 0
    gap = np.where(inside, lumen_distance(f), 9.0)
    canvas.paint(inside & (gap < LINING_MM), "Ventricle lining")
    lumen = inside & (gap < 0)
    canvas.leaf[lumen] = -1
    plexus = lumen & choroid(f)
    canvas.paint(plexus, "Choroid plexus")
    canvas.paint((canvas.leaf >= 0) & (surface < MENINGES_MM), "Meninges")
    mantle = (canvas.leaf >= 0) & (f.white > 0) & (f.angle < 150)
    layer = np.where(mantle, f.layer, 0.5).astype(np.float32)
    return Place(canvas.leaf, layer, lumen & ~plexus)


def _paint_bodies(canvas: _Canvas) -> NDArray[np.float64]:
    """Paint the solid parts; return the depth below the surface of whatever is there."""
    f = canvas.frame
    surface = np.full(f.u.size, -1.0)
    for depth, leaf in (
        _bulb(f, canvas.codes),
        _stem(f, canvas.codes),
        _cerebellum(f, canvas.codes),
    ):
        here = depth > 0
        canvas.leaf[here] = leaf[here]
        surface[here] = depth[here]
    stem = brainstem_depth(f.u, f.h, f.a) > 0
    cerebrum = _cerebrum_mask(f, stem)
    before = canvas.leaf.copy()
    _paint_core(canvas, cerebrum)
    canvas.leaf[stem] = before[stem]
    mantle = cerebrum & ~stem
    _paint_mantle(canvas, mantle)
    wall = (f.white > 0.1) & (f.angle < rhinal(f.a)) | (f.a > 1.5)
    beside = np.where(wall, np.minimum(f.depth, f.u - fissure(f.a)), f.depth)
    return np.where(mantle, beside, surface)


def _bulb(f: Frame, codes: dict[str, int]) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    depth = bulb_depth(f.u, f.h, f.a)
    return depth, bulb_leaf(depth, codes)


def _stem(f: Frame, codes: dict[str, int]) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    return brainstem_depth(f.u, f.h, f.a), nearest_nucleus(f.u, f.h, f.a, BRAINSTEM, codes)


def _cerebellum(f: Frame, codes: dict[str, int]) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    depth = cerebellum_depth(f.u, f.h, f.a)
    return depth, cerebellar_leaf(f.u, f.h, f.a, depth, codes)


def _cerebrum_mask(f: Frame, stem: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Points of the cerebrum: under its surface, beside the fissure, not in the open gap."""
    cleft = (f.u < fissure(f.a)) & (
        ((f.white > 0.02) & (f.angle < rhinal(f.a))) | (f.a > 1.5) | ((f.a < -2.5) & (f.h > 2.6))
    )
    shell = f.white > -white_width(f)
    ridge = hippocampal_leaf(f, region_codes()) >= 0
    edge = f.a + 0.12 * np.sin(2.0 * f.u + 1.3 * f.h)
    ventral = (f.a < GAP_MM) & ((f.angle > 150) | ((f.u < 2.05) & (f.h < 0.3)))
    closed = (edge > GAP_MM) | ((shell | ridge) & ~ventral)
    return (f.depth > 0) & ~cleft & (closed | stem)


def _paint_core(canvas: _Canvas, cerebrum: NDArray[np.bool_]) -> None:
    """Paint what lies under the mantle."""
    f = canvas.frame
    core = cerebrum
    rows = np.flatnonzero(core)
    canvas.leaf[rows] = nearest_nucleus(f.u[rows], f.h[rows], f.a[rows], FOREBRAIN, canvas.codes)
    radius = thalamic_radius(f.u, f.h, f.a)
    flank = core & (f.u > 1.1) & (f.a > -2.35) & (f.a < -0.8) & (f.h < 2.6)
    canvas.paint(flank & (radius > 0.93) & (radius < 1.05), "Reticular nucleus")
    canvas.paint(flank & (radius >= 1.05) & (radius < 1.17) & (f.h > -0.3), "Internal capsule")
    canvas.paint(
        core & (np.hypot(f.u - 1.25, f.h - 0.15) < 0.2) & (f.a > 0.05) & (f.a < 2.2),
        "Anterior commissure",
    )
    canvas.paint(
        core & (f.u < 1.25) & (np.hypot(f.a + 0.0, f.h - 0.2) < 0.17), "Anterior commissure"
    )


def _paint_mantle(canvas: _Canvas, mantle: NDArray[np.bool_]) -> None:
    """Paint the white matter, the hippocampal formation and all kinds of cortex."""
    f = canvas.frame
    dorsal = mantle & (f.angle < rhinal(f.a) + 6)
    band = (
        (dorsal | (mantle & (f.a < GAP_MM)))
        & (f.white <= 0)
        & (f.white > -white_width(f))
        & (f.a < 2.45)
    )
    canvas.paint(band, "Corpus callosum")
    ridge = hippocampal_leaf(f, canvas.codes)
    take = mantle & (ridge >= 0) & (f.angle < 135)
    canvas.leaf[take] = ridge[take]
    _paint_isocortex(canvas, mantle & (f.white > 0) & (f.angle < rhinal(f.a)))
    _paint_old_cortex(canvas, mantle & (f.angle >= rhinal(f.a)))


def _paint_isocortex(canvas: _Canvas, cortex: NDArray[np.bool_]) -> None:
    """Paint layers by relative depth; agranular areas have no layer 4."""
    f = canvas.frame
    bend = 0.12 * np.sin(3 * f.h + 2 * f.a)
    medial = f.u + bend < 1.0
    visual = ~medial & (f.a + bend < -2.25) & (f.angle < 78)
    lateral = ~medial & ~visual & (f.angle + 20 * bend > 92)
    motor = ~medial & ~visual & ~lateral & (f.angle < 33 + 16 * np.clip(f.a + 0.8, 0, 3))
    motor &= f.a > -1.3
    granular = ~(medial | motor | lateral | (f.a > 2.0))
    t = f.layer
    upper = np.where(granular, 0.36, 0.42)
    middle = np.where(granular, 0.49, np.where(lateral, 0.47, 0.42))
    canvas.paint(cortex, "L6b")
    canvas.paint(cortex & (t < 0.945), "L6a")
    canvas.paint(cortex & (t < 0.735), "L5")
    canvas.paint(cortex & (t < middle), "L4")
    canvas.paint(cortex & (t < upper), "L2/3 somatosensory")
    for area, name in (
        (medial, "medial"),
        (motor, "motor"),
        (visual, "visual"),
        (lateral, "lateral"),
    ):
        canvas.paint(cortex & area & (t < upper), f"L2/3 {name}")
    canvas.paint(cortex & (t < 0.125), "L1")


def _paint_old_cortex(canvas: _Canvas, base: NDArray[np.bool_]) -> None:
    """Paint piriform and entorhinal cortex, cortical amygdala and olfactory tubercle."""
    f = canvas.frame
    piriform_end = np.where(f.a > -0.6, 150.0, 138.0) + 4 * np.sin(2 * f.a)
    lobe = base & (f.u > np.where(f.a < -2.0, 2.05, 0.55))
    entorhinal = lobe & (f.a < -2.95) & (f.white > 0)
    canvas.paint(entorhinal, "Entorhinal")
    canvas.paint(entorhinal & (f.depth < 0.13), "L1")
    piriform = lobe & (f.angle < piriform_end) & (f.a > -2.95) & (f.a < 2.6)
    canvas.paint(piriform & (f.depth < 0.78), "Endopiriform")
    canvas.paint(piriform & (f.depth < 0.56), "Piriform L3")
    canvas.paint(piriform & (f.depth < 0.33), "Piriform L2")
    canvas.paint(piriform & (f.depth < 0.21), "Piriform L1")
    rest = lobe & (f.angle >= piriform_end) & (f.depth < 0.6)
    canvas.paint(rest & (f.a > 0.15) & (f.a < 2.1), "Olfactory tubercle")
    canvas.paint(rest & (f.a < -0.6) & (f.a > -2.95) & (f.u > 2.05), "Cortical amygdala")
