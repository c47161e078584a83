"""What of a section a registration can use: its plane, its regions; or why it can use nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.known_sets import KnownSet, everywhere, known_sets
from backend.analysis.registration.place import Along, CannotPlace, Known
from backend.analysis.registration.planes import (
    AXES,
    Plane,
    plane_along,
    plane_named,
    position_along,
)
from backend.analysis.registration.reference import Reference
from backend.analysis.registration.slices import Slices
from backend.analysis.registration.terms import MIDLINE, Term, match_names, parse_terms
from backend.core.data import SectionInfo
from backend.store.atlas import Atlas

TABLE = Path(__file__).with_name("register_regions.yaml")
#: Neighbours whose types decide whether a type is packed.
PACKED_AMONG = 20
#: Fewest cells that make a region count, and fewest regions.
FEW_CELLS, FEW_REGIONS = 15, 2

#: Labels with such a word in their name have places as classes; other labels are types.
PLACES = ("region", "domain", "area", "layer")
#: Sections up to this size may be windows like those of their nearest section, um2.
SMALL_UM2 = 9e6

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A section ready to be placed.

    codes : (n,) of the regions of ``along``, -1 where none; label : which label they are of;
    names : names of the label behind each code; origin : where plane and position come from.
    """

    codes: Codes
    label: str
    names: tuple[tuple[str, ...], ...]
    plane: Plane
    along: Along
    known: Known
    origin: str


class Hint(NamedTuple):
    """What is guessed of a section of which nothing is known: its plane, and a set like its own.

    plane : name; why : where the guess is from; dataset : of its nearest section, or empty.
    """

    plane: str
    why: str
    dataset: str = ""


class Target(Protocol):
    """What sections are placed in."""

    about: dict[str, Any]

    def sequence(self, infos: Sequence[SectionInfo]) -> list[SectionInfo]:
        """Return sections in the order in which they can be placed."""

    def placed(self, info: SectionInfo, uv: NDArray[np.float64]) -> None:
        """Take note of a section that has its place."""

    def prepared(self, atlas: Atlas, info: SectionInfo, said: Correction) -> Prepared:
        """Return a section ready to be placed, or raise CannotPlace."""


def prepare(atlas: Atlas, info: SectionInfo, target: Target, said: Correction | None) -> Prepared:
    """Return a section ready to be placed.

    Raises
    ------
    CannotPlace
        If nothing says how it was cut, or it shares no regions with the target.
    """
    if info.xy_unit != "um":
        raise CannotPlace(
            f"Positions are in {info.xy_unit}, not in micrometres.", "Build it with a scale."
        )
    return target.prepared(atlas, info, said or Correction())


class Tables:
    """A reference brain, and what the table says of data sets.

    Parameters
    ----------
    reference : Reference
    hints : mapping of section to Hint, optional
    table : Path
    species : str
        Of the reference.
    """

    def __init__(
        self,
        reference: Reference,
        hints: Mapping[str, Hint] | None = None,
        table: Path = TABLE,
        species: str = "mouse",
    ) -> None:
        self.reference = reference
        self.hints = hints or {}
        self.species = species
        self.sets = known_sets(yaml.safe_load(table.read_text("utf-8")))
        self.all = everywhere(self.sets)
        self._slices: dict[tuple[str, tuple[tuple[Term, ...], ...]], Slices] = {}
        self.about: dict[str, Any] = {
            "name": reference.name,
            "unit": "um",
            "axes": list(AXES),
            "licence": reference.licence,
            "size_um": [float(n * reference.step_um) for n in reference.labels.shape],
        }

    def sequence(self, infos: Sequence[SectionInfo]) -> list[SectionInfo]:
        """Return the sections as they are: each is placed by itself."""
        return list(infos)

    def placed(self, info: SectionInfo, uv: NDArray[np.float64]) -> None:
        """Take note of nothing: sections do not lean on one another."""

    def prepared(self, atlas: Atlas, info: SectionInfo, said: Correction) -> Prepared:
        """Return a section ready to be placed in the reference."""
        if info.species != self.species:
            raise CannotPlace(
                f"The section is of {info.species or 'an unknown species'}, the reference of the "
                f"{self.species}.",
                "Use a reference of its species.",
            )
        known = self.sets.get(info.dataset) or self._like(info)
        plane, position, origin, prior = self._plane(atlas, info, known, said)
        names_of = known if known is not None and known.labels else self.all
        label, codes, terms, names = self._regions(atlas, info, names_of)
        if not label and said.landmarks == ():
            raise CannotPlace(
                "The section has no region labels in common with the reference.",
                "Annotate it first, or set landmarks in the corrections.",
            )
        known = known or KnownSet(between=prior)
        middle = ((Term(MIDLINE, None),),) if known.is_centred else ()
        terms = (*terms, *(m for m in middle if m not in terms))
        turn = 180.0 if known.turn_deg is None else known.turn_deg
        found = Known(
            position,
            known.between,
            said.part or known.part,
            said.flip,
            said.position_um is not None,
            turn,
            known.is_framed,
            terms.index(middle[0]) if middle else None,
        )
        along = self._along(plane, terms, parse_terms(known.area, self.reference))
        return Prepared(codes, label, names, plane, along, found, origin)

    def _like(self, info: SectionInfo) -> KnownSet | None:
        """Return what is known of windows like a small section of no known set, or None."""
        hint = self.hints.get(info.id)
        known = self.sets.get(hint.dataset) if hint is not None else None
        small = info.extent.width * info.extent.height <= SMALL_UM2
        if known is None or known.part != "window" or known.share or not small:
            return None
        labels = {
            name: {**self.all.labels.get(name, {}), **names} for name, names in known.labels.items()
        }
        return replace(
            known, plane="", labels=labels, turn_deg=None, is_framed=False, is_centred=False
        )

    def _along(
        self, plane: Plane, terms: tuple[tuple[Term, ...], ...], area: tuple[Term, ...]
    ) -> Slices:
        key = (plane.name, (*terms, area))
        if key not in self._slices:
            if len(self._slices) > 4:  # sections of a data set follow one another
                self._slices.clear()
            self._slices[key] = Slices(self.reference, plane, terms, area)
        return self._slices[key]

    def _plane(
        self, atlas: Atlas, info: SectionInfo, known: KnownSet | None, said: Correction
    ) -> tuple[Plane, float | None, str, tuple[float, float] | None]:
        """Return plane, position and where they come from."""
        position = said.position_um
        if position is None:
            position = position_along(info.axis, info.position)
        by_axis = plane_along(info.axis)
        if said.plane:
            return plane_named(said.plane), position, "correction", None
        if by_axis is not None:
            return by_axis, position, f"axis of cutting ({info.axis})", None
        if known is not None and known.plane:
            return plane_named(known.plane), position, f"table ({info.dataset})", None
        if info.id in self.hints:
            hint = self.hints[info.id]
            return plane_named(hint.plane), position, hint.why, None
        raise CannotPlace(
            "Nothing says in which plane the section was cut.",
            "Set its plane in the corrections, or its axis when the atlas is built.",
        )

    def _regions(
        self, atlas: Atlas, info: SectionInfo, known: KnownSet
    ) -> tuple[str, Codes, tuple[tuple[Term, ...], ...], tuple[tuple[str, ...], ...]]:
        """Return label, codes, terms per code and names per code; nothing where none fits."""
        have = [n for n, sections in atlas.attrs["labels"].items() if info.id in sections]
        first = [n for n in known.labels if n in have]
        places = [n for n in have if n not in first and any(p in n.lower() for p in PLACES)]
        for label in (*first, *places):
            found = self._of_label(atlas, info, known, label)
            if found is not None:
                return (label, *found)
        return "", np.full(info.n_cells, -1, np.int64), (), ()

    def _of_label(
        self, atlas: Atlas, info: SectionInfo, known: KnownSet, label: str
    ) -> tuple[Codes, tuple[tuple[Term, ...], ...], tuple[tuple[str, ...], ...]] | None:
        array = atlas.label(label)
        names = [c.name for c in array.categories]
        raw = np.asarray(array.codes[info.rows], np.int64)
        table = known.labels.get(label) or self.all.labels.get(PLACES[0], {})
        if label in known.share:
            packed = packed_cells(np.asarray(atlas.xy[info.rows]), raw, known.share[label])
            raw = np.where(packed, raw, -1)
            names = [n if n in table else "" for n in names]  # other types are no places
        counts = np.bincount(raw[raw >= 0], minlength=len(names))
        present = [n for n, m in zip(names, counts, strict=True) if n and m >= FEW_CELLS]
        # Packed types do not cover a section: with its outline, one can be enough.
        few = 1 if label in known.share else FEW_REGIONS
        return coded(raw, names, match_names(present, table, self.reference), few)


def coded(
    raw: Codes, names: Sequence[str], terms: Mapping[str, tuple[Term, ...]], few: int = FEW_REGIONS
) -> tuple[Codes, tuple[tuple[Term, ...], ...], tuple[tuple[str, ...], ...]] | None:
    """Return codes of distinct regions; names that mean the same region have one code."""
    distinct = tuple(dict.fromkeys(terms.values()))
    if len(distinct) < few:
        return None
    place = {t: i for i, t in enumerate(distinct)}
    to_code = np.array([place[terms[n]] if n in terms else -1 for n in names] + [-1], np.int64)
    groups = tuple(tuple(n for n, t in terms.items() if t == d) for d in distinct)
    return to_code[raw], distinct, groups


def packed_cells(xy: NDArray[np.float32], codes: Codes, share: float) -> NDArray[np.bool_]:
    """Return whether at least ``share`` of the nearest cells of each are of its type."""
    k = min(PACKED_AMONG, len(xy))
    near = cKDTree(xy).query(xy, k=k)[1].reshape(len(xy), k)
    same = (codes[near] == codes[:, None]).mean(axis=1)
    return np.asarray((codes >= 0) & (same >= share))
