"""Cutting a section from the plan: where cells lie, what they are, what is counted in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Label, SectionData
from backend.core.errors import TooFewCells
from backend.demo.clusters import cluster_categories, draw_clusters
from backend.demo.expression import Cells, draw_counts
from backend.demo.genes import GeneModel
from backend.demo.lattice import lattice_points
from backend.demo.plan import locate
from backend.demo.regions import families, region_categories, regions
from backend.demo.technologies import limited, panel, technologies
from backend.demo.types import class_categories, class_of_type, priors, type_categories

Axis = Literal["coronal", "sagittal"]

#: Radius of a spot and the distance between spots, micrometres.
SPOT_RADIUS, SPOT_PITCH = 27.5, 100.0
#: Cells under a spot, on average, in tissue of density 1; and beside the cell of a bead.
SPOT_CELLS, BEAD_EXTRA = 24.0, 0.35
_SIZE = {"coronal": (11_400.0, 8_000.0), "sagittal": (13_600.0, 8_000.0)}


@dataclass(frozen=True, slots=True)
class SectionSpec:
    """Everything that decides a simulated section.

    Parameters
    ----------
    id, title, animal : str
    technology : str
        Key of a technology.
    axis : "coronal" or "sagittal"
    position : float
        Millimetres along the axis: anterior positive, or from the mid-line.
    window : (left, top, right, bottom) or None
        Part of the plane that is measured, micrometres in the plane of the plan; None: all of it.
    is_round : bool
        Whether the window is the ellipse inside its rectangle, as on a bead array.
    n_cells : int
        Cells wanted; spots may be fewer, since their distance is fixed.
    number : int
        Place in the list of all sections; part of the seed.
    seed : int
    """

    id: str
    title: str
    animal: str
    technology: str
    axis: Axis
    position: float
    window: tuple[float, float, float, float] | None
    is_round: bool
    n_cells: int
    number: int
    seed: int

    @property
    def key(self) -> tuple[int, ...]:
        """Seed of the section's own random streams."""
        return (self.seed, 200, self.number)


class Layout(NamedTuple):
    """Observations of a section: section coordinates and places in the brain, micrometres."""

    xy: NDArray[np.float32]
    brain: NDArray[np.float64]
    leaf: NDArray[np.int16]
    layer: NDArray[np.float32]


class Truth(NamedTuple):
    """What the simulation knows of a section: its cells, and type and region per observation."""

    layout: Layout
    cells: Cells
    kind: NDArray[np.int16]


def layout(spec: SectionSpec) -> Layout:
    """Return where the observations of a section lie.

    Raises
    ------
    TooFewCells
        If the plane misses the brain.
    """
    plane = _plane(spec)
    box = spec.window or _box(spec.axis)
    rng = np.random.default_rng([*spec.key, 1])
    unit = technologies()[spec.technology].unit
    points = (
        _spots(spec, box, plane)
        if unit == "spot"
        else lattice_points(plane, box, _densities(unit), spec.n_cells, rng, spec.is_round)
    )
    if len(points) == 0:
        raise TooFewCells(f"Section '{spec.id}' misses the brain.", "Choose another position.")
    brain = plane(points)
    place = locate(brain[:, 0], brain[:, 1], brain[:, 2])
    return Layout(_mounted(points, spec), brain, place.leaf, place.layer)


def truth(spec: SectionSpec, where: Layout | None = None) -> Truth:
    """Return the cells behind the observations of a section, whose layout may be known."""
    where = where or layout(spec)
    rng = np.random.default_rng([*spec.key, 2])
    unit = technologies()[spec.technology].unit
    owner, brain, leaf, layer = _members(where, unit, rng)
    kind = draw_types(leaf, rng)
    start = np.searchsorted(owner, np.arange(len(where.leaf) + 1)).astype(np.int64)
    cells = Cells(start, kind, parents()[leaf], place_factors(brain, leaf, layer))
    return Truth(where, cells, _commonest(kind, owner, len(where.leaf)))


def section_data(
    spec: SectionSpec,
    model: GeneModel,
    tell: Callable[[float], None] = lambda _: None,
    *,
    known: Truth | None = None,
    most_genes: int | None = None,
    clusters: bool = False,
) -> SectionData:
    """Return a section as if read from a file: positions, counts, labels.

    Parameters
    ----------
    known : Truth, optional
        What ``truth`` returned for the section; asked anew where None.
    most_genes : int, optional
        Genes that a technology measures at most.
    clusters : bool
        Add the label ``cluster``, of a few hundred classes.
    """
    known = known or truth(spec)
    technology = limited(technologies()[spec.technology], len(model.symbols), most_genes)
    genes = panel(technology, model.symbols, spec.seed)
    counts = draw_counts(model, known.cells, model.places(genes), technology, spec.key, tell)
    n = len(known.kind)
    labels = {
        "class": Label(class_of_type()[known.kind], class_categories()),
        "type": Label(known.kind, type_categories()),
        "region": Label(known.layout.leaf, region_categories()),
    }
    if clusters:
        where, rng = known.layout, np.random.default_rng([*spec.key, 4])
        factors = place_factors(where.brain, where.leaf, where.layer)
        codes = draw_clusters(known.kind, factors, rng)
        labels["cluster"] = Label(codes, cluster_categories())
    return SectionData(
        id=spec.id,
        title=spec.title,
        xy=known.layout.xy,
        counts=counts,
        genes=genes,
        names=np.array([f"{spec.id}_{row:06d}" for row in range(n)]),
        labels=labels,
        technology=f"{technology.name} (simulated)",
        dataset=technology.name,
    )


def parents() -> NDArray[np.int16]:
    """Return the code of the parent of each region."""
    place = {family.name: i for i, family in enumerate(families())}
    return np.array([place[region.parent] for region in regions()], np.int16)


def draw_types(leaf: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Return a type for each cell, from what lives in its region."""
    steps = np.cumsum(priors(), axis=1)
    steps[:, -1] = 1.0
    chance = rng.random(leaf.size)
    kind = np.empty(leaf.size, np.int16)
    for code in np.unique(leaf):
        rows = leaf == code
        kind[rows] = np.searchsorted(steps[code], chance[rows], side="right")
    return kind


def place_factors(
    brain: NDArray[np.float64], leaf: NDArray[np.int16], layer: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the smooth functions of the place that expression follows, (n, N_FACTORS)."""
    side, down = np.abs(brain[:, 0]) / 2500 - 1, brain[:, 1] / 2500 - 1.4
    front = np.tanh(brain[:, 2] / 4000)
    bend = np.sin(1.9 * side + 1.1 * front)
    swell = np.sin(1.4 * down - 0.8 * front + 0.6)
    depth = 2.0 * layer - 1.0
    factors = np.stack([front, down, side, depth, bend, swell], axis=1)
    return np.asarray(factors, np.float32)


def _box(axis: Axis) -> tuple[float, float, float, float]:
    wide, high = _SIZE[axis]
    return (-wide / 2, 0.0, wide / 2, high) if axis == "coronal" else (-5_200.0, 0.0, 8_200.0, high)


def _plane(spec: SectionSpec) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the map from the plane of the section to the brain; cuts are a little oblique."""
    rng = np.random.default_rng([*spec.key, 0])
    tilt = rng.normal(0.0, 0.012, 2)

    def to_brain(points: NDArray[np.float64]) -> NDArray[np.float64]:
        s, t = points[:, 0], points[:, 1]
        along = 1000 * spec.position + tilt[0] * s + tilt[1] * (t - 3500)
        if spec.axis == "coronal":
            return np.stack([s, t, along], axis=1)
        return np.stack([along, t, -s], axis=1)

    return to_brain


def _mounted(points: NDArray[np.float64], spec: SectionSpec) -> NDArray[np.float32]:
    """Return section coordinates: as laid on the slide, turned and stretched a little."""
    rng = np.random.default_rng([*spec.key, 3])
    angle = 0.0 if spec.is_round else np.radians(rng.normal(0.0, 1.5))
    stretch = 1 + rng.normal(0.0, 0.01, 2)
    left, top, right, bottom = spec.window or _box(spec.axis)
    centred = (points - [(left + right) / 2, (top + bottom) / 2]) * stretch
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = [(right - left) / 2, (bottom - top) / 2]
    return (centred @ turn + middle).astype(np.float32)


def _densities(unit: str) -> NDArray[np.float64]:
    """Return the density of observations per region; beads lie as densely everywhere."""
    density = np.array([region.density for region in regions()])
    return np.ones_like(density) if unit == "bead" else density


def _spots(
    spec: SectionSpec,
    box: tuple[float, float, float, float],
    plane: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the hexagonal spots on tissue, those nearest to the middle where fewer are wanted."""
    left, top, right, bottom = box
    rows = np.arange(top, bottom, SPOT_PITCH * np.sqrt(0.75))
    columns = np.arange(left, right, SPOT_PITCH)
    x = columns[None, :] + (np.arange(rows.size)[:, None] % 2) * SPOT_PITCH / 2
    points = np.stack([x.ravel(), np.repeat(rows, columns.size)], axis=1)
    brain = plane(points)
    points = points[locate(brain[:, 0], brain[:, 1], brain[:, 2]).leaf >= 0]
    away = np.abs(points - points.mean(axis=0)).max(axis=1)
    return points[np.sort(np.argsort(away, kind="stable")[: spec.n_cells])]


def _members(
    where: Layout, unit: str, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int16], NDArray[np.float32]]:
    """Return (owner, place, region, layer) of the cells behind the observations, by owner."""
    n = len(where.leaf)
    owner = np.arange(n)
    if unit == "cell":
        return owner, where.brain, where.leaf, where.layer
    density = np.array([region.density for region in regions()])[where.leaf]
    mean, radius = (
        (SPOT_CELLS * density, SPOT_RADIUS) if unit == "spot" else (np.full(n, BEAD_EXTRA), 8.0)
    )
    extra = np.repeat(owner, rng.poisson(mean))
    reach, turn = radius * np.sqrt(rng.random(extra.size)), 2 * np.pi * rng.random(extra.size)
    brain = where.brain[extra].copy()
    across = 0 if np.ptp(where.brain[:, 0]) > np.ptp(where.brain[:, 2]) else 2
    brain[:, across] += reach * np.cos(turn)
    brain[:, 1] += reach * np.sin(turn)
    place = locate(brain[:, 0], brain[:, 1], brain[:, 2])
    kept = place.leaf >= 0
    all_owner = np.concatenate([owner, extra[kept]])
    order = np.argsort(all_owner, kind="stable")
    return (
        all_owner[order],
        np.concatenate([where.brain, brain[kept]])[order],
        np.concatenate([where.leaf, place.leaf[kept]])[order],
        np.concatenate([where.layer, place.layer[kept]])[order],
    )


def _commonest(kind: NDArray[np.int16], owner: NDArray[np.int64], n: int) -> NDArray[np.int16]:
    """Return the most frequent type of each observation; ties go to the lower code."""
    pairs, count = np.unique(owner.astype(np.int64) * 1024 + kind, return_counts=True)
    who = pairs // 1024
    order = np.lexsort((pairs, -count, who))
    first = np.searchsorted(who[order], np.arange(n))
    kinds: NDArray[np.int16] = (pairs[order][first] % 1024).astype(np.int16)
    return kinds
