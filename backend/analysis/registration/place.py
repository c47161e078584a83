"""Placing one section in a reference: slice, affine, smooth displacement; or saying why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration import match, starts
from backend.analysis.registration.affine import RIGID, STAY, Affine, Freedom
from backend.analysis.registration.match import Marks
from backend.analysis.registration.picture import Picture
from backend.analysis.registration.warp import Warp, pulled, still
from backend.core.errors import AtlasError

Points = NDArray[np.float64]
Part = Literal["whole", "left", "right", "window"]

#: Sides of pixels of pictures to search in and to fit in, micrometres.
COARSE_UM, FINE_UM = 100.0, 50.0
#: Steps along the axis of the search and of its refinement, micrometres.
STRIDE_UM, STEP_UM = 400.0, 100.0
#: How far around the best, or around a known position, small steps go.
REACH_UM = 300.0
#: Marks and steps of a quick look at a start.
QUICK_MARKS, QUICK_STEPS = 500, 6
#: Starts that are followed a few steps, and of these to the end.
FOLLOWED, KEPT = 24, 3
#: A mirrored placement must be better by this factor: both halves of a brain look alike.
MIRROR_GAIN = 0.93
#: Added share of the cost per spread that a window lies off the middle of its area: its layers say
#: little of where along the axis it was cut.
OFF_MIDDLE = 0.1
#: Degrees by which a fit may turn a section beyond what is known of it.
SLACK_DEG = 10.0
#: Shares of a slice's area that a section of each part has.
WHOLE_AREA, HALF_AREA = 0.62, 0.3
#: How far scale and stretch may be from known micrometres.
FREE_WHOLE, FREE_WINDOW = Freedom(1.25, 1.12), Freedom(1.05, 1.03)
#: Positions whose cost is at most this much above the best are as good.
TIE = 1.1
#: Widths and greatest displacement of the smooth stage, micrometres.
WHOLE_WARP = ((1200.0, 900.0, 700.0, 500.0), 600.0)
WINDOW_WARP = ((700.0, 500.0), 150.0)


class CannotPlace(AtlasError, ValueError):
    """A section that cannot be placed in the reference; the message says why."""


class Along(Protocol):
    """Pictures along an axis: slices of a reference, or one section of a corpus."""

    @property
    def span(self) -> tuple[float, float]:
        """First and last position, micrometres."""

    @property
    def middle(self) -> float | None:
        """Midline of the pictures."""

    @property
    def usual(self) -> tuple[float, float] | None:
        """Mean place along the axis of what windows were cut from, and its spread."""

    def picture(self, position_um: float, step: float, part: str = "whole") -> Picture:
        """Return the picture at a position."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a section before it is placed.

    Parameters
    ----------
    position_um : float or None
    between : (float, float) or None
        Where it may lie along the axis.
    part : Part or None
        Looked for where None.
    mirrored : bool or None
    fixed : bool
        Whether the position is taken as it is.
    turn_deg : float
        Greatest turn of the section that is tried.
    is_framed : bool
        Whether a window shows all of its rectangle, so that what is empty there is outside.
    centred_code : int or None
        Code of the midline, where the middle of the section is known to lie on it.
    """

    position_um: float | None = None
    between: tuple[float, float] | None = None
    part: Part | None = None
    mirrored: bool | None = None
    fixed: bool = False
    turn_deg: float = 180.0
    is_framed: bool = False
    centred_code: int | None = None


#: The most that is said of a section: nothing.
UNKNOWN = Known()


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a section lies.

    Parameters
    ----------
    start, affine : Affine
        From the section to the plane, micrometres: first guess, and after the fit.
    warp : Warp
        In the plane, after the affine.
    profile : tuple of (position, cost)
        Of the positions looked at.
    nudge : Affine
        What a person moved it by, after all else.
    """

    position_um: float
    part: Part
    start: Affine
    affine: Affine
    warp: Warp
    profile: tuple[tuple[float, float], ...] = field(default=())
    nudge: Affine = STAY

    def __call__(self, xy: Points) -> Points:
        """Return the places of cells in the plane, (n, 2)."""
        return self.nudge(self.warp(self.affine(xy)))

    def back(self, uv: Points) -> Points:
        """Return the places of the section that are taken to ``uv``."""
        return self.affine.inverse()(self.warp.back(self.nudge.inverse()(uv)))

    @property
    def position_range(self) -> tuple[float, float]:
        """First and last position that are about as good as the best."""
        best = min(c for _, c in self.profile)
        near = [p for p, c in self.profile if c <= TIE * best]
        return min(near), max(near)


class Look(NamedTuple):
    """The best map found at a position, and the first guess that led to it."""

    cost: float
    position_um: float
    part: Part
    start: Affine
    affine: Affine


def place(
    marks: Marks,
    along: Along,
    known: Known,
    seed: int = 0,
    step: Callable[[float], None] = lambda _: None,
) -> Placement:
    """Return where a section lies.

    Parameters
    ----------
    marks : Marks
    along : Along
    known : Known
    seed : int
    step : callable
        Told the share done, 0..1; may raise to stop.

    Raises
    ------
    CannotPlace
    """
    found: list[Look] = []
    wanted = list(_positions(along, known))
    for i, position in enumerate(wanted):
        step(0.5 * i / len(wanted))
        found += _looks(marks, along, known, position, seed)
    if not found:
        raise CannotPlace(
            "No slice of the reference has the regions of this section.",
            "Check its plane and its region labels.",
        )
    best = min(found, key=lambda look: look.cost)
    profile = {look.position_um: look.cost for look in found}
    if not known.fixed:
        best = _refined(marks, along, known, best, profile, seed)
    step(0.7)
    marks = _as_part(marks, known, best.part)
    picture = along.picture(best.position_um, FINE_UM, side_of(best.part))
    affine = match.align(marks, picture, best.affine, _freedom(best.part), 60, seed)
    step(0.85)
    warp = _smooth(marks, picture, affine, best.part, seed)
    seen = tuple(sorted(profile.items()))
    return Placement(best.position_um, best.part, best.start, affine, warp, seen)


def _positions(along: Along, known: Known) -> Iterator[float]:
    """Yield the positions to look at."""
    low, high = along.span
    if known.position_um is not None:
        yield float(np.clip(known.position_um, low, high))
        return
    if known.between is not None:
        low, high = max(low, known.between[0]), min(high, known.between[1])
    yield from (float(p) for p in np.arange(low, high + 1, STRIDE_UM))


def _looks(marks: Marks, along: Along, known: Known, position: float, seed: int) -> list[Look]:
    """Return the best look at a position, if its slice has anything of the section."""
    found: list[Look] = []
    for part in _parts(marks, along, known, position):
        own = _as_part(marks, known, part)
        few = own.some(QUICK_MARKS, seed)
        picture = along.picture(position, COARSE_UM, side_of(part))
        faces = (False, True) if known.mirrored is None else (known.mirrored,)
        guesses = (
            starts.window_starts(few, picture, faces, along.middle)
            if part == "window"
            else starts.whole_starts(few, picture, faces, FREE_WHOLE.scale)
        )
        guesses = (g for g in guesses if abs(g.rotation_deg) <= known.turn_deg)
        first = _best(few, picture, guesses)
        tried = [(at, match.align(few, picture, at, RIGID, QUICK_STEPS, seed)) for at in first]
        tried.sort(key=lambda pair: _judged(few, picture, pair[1], seed))
        for start, at in tried[:KEPT]:
            after = match.align(few, picture, at, _freedom(part), 25, seed)
            if abs(after.rotation_deg) > known.turn_deg + SLACK_DEG:
                continue
            judged = _judged(own, picture, after, seed) * _unusual(along, known, position)
            found.append(Look(judged, position, part, start, after))
    return sorted(found, key=lambda look: look.cost)[:1]


def _best(marks: Marks, picture: Picture, guesses: Iterable[Affine]) -> list[Affine]:
    """Return the guesses worth following."""
    judged = [(match.cost(marks, picture, g(marks.points)), i, g) for i, g in enumerate(guesses)]
    return [guess for _, _, guess in sorted(judged, key=lambda j: j[:2])[:FOLLOWED]]


def _unusual(along: Along, known: Known, position: float) -> float:
    """Return a factor that grows with the distance from the middle of a window's area."""
    if along.usual is None or known.position_um is not None:
        return 1.0
    mean, spread = along.usual
    return 1.0 + OFF_MIDDLE * abs(position - mean) / max(spread, 1.0)


def _judged(marks: Marks, picture: Picture, at: Affine, seed: int) -> float:
    """Return the cost of a map; a mirrored one has to earn it."""
    found = match.total_cost(marks, picture, at, seed)
    return found / MIRROR_GAIN if at.is_mirrored else found


def _parts(marks: Marks, along: Along, known: Known, position: float) -> list[Part]:
    """Return what part of a slice the section may be, by its area."""
    if known.part is not None:
        return [known.part]
    whole = along.picture(position, COARSE_UM)
    area = float(whole.tissue.sum()) * COARSE_UM**2
    share = marks.tissue.area_um2 / area if area else 0.0
    if share >= WHOLE_AREA:
        return ["whole"]
    if along.middle is None:
        return ["window"]
    return ["left", "right"] if share >= HALF_AREA else ["window"]


def _as_part(marks: Marks, known: Known, part: Part) -> Marks:
    """Return the marks of a section taken as a part; a window's surroundings are not known."""
    return marks.unframed() if part == "window" and known.part is None else marks


def side_of(part: Part) -> str:
    """Return which side of a picture a part is matched with."""
    return part if part in ("left", "right") else "whole"


def _freedom(part: Part) -> Freedom:
    return FREE_WINDOW if part == "window" else FREE_WHOLE


def _refined(
    marks: Marks, along: Along, known: Known, best: Look, profile: dict[float, float], seed: int
) -> Look:
    """Return the best of the positions around the one found, in small steps."""
    marks = _as_part(marks, known, best.part)
    first, last = along.span
    reach = np.arange(-REACH_UM, REACH_UM + 1, STEP_UM) + best.position_um
    for position in (float(p) for p in reach if first <= p <= last and float(p) not in profile):
        picture = along.picture(position, COARSE_UM, side_of(best.part))
        after = match.align(marks, picture, best.affine, _freedom(best.part), 25, seed)
        profile[position] = _judged(marks, picture, after, seed) * _unusual(along, known, position)
        if profile[position] < best.cost:
            best = Look(profile[position], position, best.part, best.start, after)
    return best


def _smooth(marks: Marks, picture: Picture, affine: Affine, part: Part, seed: int) -> Warp:
    """Return the displacement that takes marks the rest of the way, as far as it stays smooth."""
    widths, most = WINDOW_WARP if part == "window" else WHOLE_WARP
    places = affine(marks.points)
    samples = match.samples_of(marks, picture, seed, per_region=150)
    warp = still(places.min(axis=0), places.max(axis=0), 100.0, 800.0)
    for sigma in widths:
        for _ in range(8):
            now = warp(places)
            origins = affine.inverse()(warp.back(samples.points, rounds=10))
            pairs = match.joined(
                marks,
                match.forward(marks, picture, now),
                match.backward(marks, samples, origins),
            )
            before = affine(pairs.source)
            warp = pulled(warp, before, pairs.goal - warp(before), pairs.weight, sigma, most)
    return warp
