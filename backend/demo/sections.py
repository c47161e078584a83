"""Which sections the demo atlas has: technologies, positions, animals, and cells for each."""

from __future__ import annotations

from typing import NamedTuple

from backend.core.errors import BadRequest
from backend.demo.section import Axis, SectionSpec, layout
from backend.demo.technologies import technologies

_HALF = (-150.0, 0.0, 5_700.0, 8_000.0)
#: Order in which technologies take their turns; twenty sections are one round.
_TURNS = (
    "merfish", "starmap", "xenium", "merfish", "visium", "slideseq", "iss",
    "merfish", "starmap", "merfish", "xenium", "merfish", "starmap", "iss",
    "merfish", "slideseq", "visium", "xenium", "starmap", "merfish",
)  # fmt: skip


class _Series(NamedTuple):
    """Sections of one technology: share of the cells, animals, and positions to take in turn."""

    share: float
    animals: tuple[str, ...]
    axis: Axis
    window: tuple[float, float, float, float] | None
    first: tuple[float, ...]
    span: tuple[float, float]


def _series() -> dict[str, _Series]:
    return {
        "merfish": _Series(11.0, ("1", "2"), "coronal", None,
                           (-1.9, 0.4, -2.8, 1.3, -0.6, -3.7, -6.1), (-6.8, 2.2)),
        "starmap": _Series(6.5, ("3", "4"), "coronal", _HALF, (-1.5, 0.9, -2.4, -0.3), (-3.4, 1.9)),
        "xenium": _Series(9.0, ("5",), "sagittal", None, (1.3, 2.6, 0.5), (0.35, 3.2)),
        "iss": _Series(6.0, ("6",), "coronal", None, (-2.1, -0.9), (-2.9, 1.6)),
        "visium": _Series(2.6, ("7", "8"), "coronal", _HALF, (-1.7, 0.6), (-3.0, 1.8)),
        "slideseq": _Series(5.0, ("9",), "coronal", (300.0, 900.0, 3_700.0, 4_300.0),
                            (-2.0, -2.6), (-2.9, -1.5)),
    }  # fmt: skip


def plan_sections(count: int, cells: int, seed: int) -> tuple[SectionSpec, ...]:
    """Return the sections of an atlas; together they hold ``cells`` cells.

    A section depends on its number, its cells and the seed alone. Spots lie at a fixed distance,
    so there may be fewer than their share; the other sections then take what is left.

    Raises
    ------
    BadRequest
        If there is no section, or fewer than 20 cells for each.
    """
    if count < 1 or cells < 20 * count:
        raise BadRequest(
            f"{cells} cells in {count} sections cannot be made.",
            "Ask for at least one section, and 20 cells for each.",
        )
    bare = [_spec(number, seed) for number in range(count)]
    sizes = _sizes(bare, cells)
    return tuple(_sized(spec, n) for spec, n in zip(bare, sizes, strict=True))


def _sized(spec: SectionSpec, n: int) -> SectionSpec:
    fields = {name: getattr(spec, name) for name in SectionSpec.__dataclass_fields__}
    return SectionSpec(**{**fields, "n_cells": n})


def _spec(number: int, seed: int) -> SectionSpec:
    """Return section ``number`` without its cells."""
    turn, k = divmod(number, len(_TURNS))
    key = _TURNS[k]
    series = _series()[key]
    rank = turn * _TURNS.count(key) + _TURNS[:k].count(key)
    position = _position(series, rank)
    name = technologies()[key].name
    sign = "−" if position < 0 else "+" if series.axis == "coronal" else ""
    return SectionSpec(
        id=f"{key}-{rank + 1:02d}",
        title=f"{series.axis.capitalize()} {sign}{abs(position):.1f} mm, {name} (simulated)",
        animal=series.animals[rank % len(series.animals)],
        technology=key,
        axis=series.axis,
        position=position,
        window=series.window,
        is_round=key == "slideseq",
        n_cells=0,
        number=number,
        seed=seed,
    )


def _position(series: _Series, rank: int) -> float:
    """Return the chosen positions first, then evenly spread ones (van der Corput)."""
    if rank < len(series.first):
        return series.first[rank]
    low, high = series.span
    fraction, half, left = 0.0, 0.5, rank - len(series.first) + 1
    while left:
        fraction += half * (left % 2)
        left, half = left // 2, half / 2
    return round(low + (high - low) * fraction, 2)


def _sizes(specs: list[SectionSpec], cells: int) -> list[int]:
    """Return the cells of each section, summing to ``cells``."""
    share = [_series()[s.technology].share for s in specs]
    sizes = _split(cells, share)
    fixed = {
        i: min(sizes[i], len(layout(_sized(s, sizes[i])).leaf))
        for i, s in enumerate(specs)
        if technologies()[s.technology].unit == "spot"
    }
    free = [i for i in range(len(specs)) if i not in fixed]
    if not free:
        return [fixed[i] for i in range(len(specs))]
    rest = _split(cells - sum(fixed.values()), [share[i] for i in free])
    return [fixed[i] if i in fixed else rest[free.index(i)] for i in range(len(specs))]


def _split(total: int, shares: list[float]) -> list[int]:
    """Return whole parts of ``total`` in proportion to shares, summing to it exactly."""
    whole = sum(shares)
    edges = [round(total * sum(shares[: i + 1]) / whole) for i in range(len(shares))]
    return [b - a for a, b in zip([0, *edges[:-1]], edges, strict=True)]
