"""A table of data sets: plane, part of the slice, and region names as regions of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from backend.analysis.registration.place import Part
from backend.analysis.registration.planes import plane_named
from backend.core.errors import BadRequest


@dataclass(frozen=True, slots=True)
class KnownSet:
    """What the table says of a data set.

    Parameters
    ----------
    plane : str
        Empty where it is not known.
    part : Part or None
    between : (float, float) or None
        Where its sections lie along the axis, micrometres of the reference.
    area : str
        Terms of what a window was cut from.
    turn_deg : float or None
        Greatest turn, where the sections are stored about upright.
    is_framed : bool
        Whether a window shows all of its rectangle: what is empty in it lies outside the brain.
    is_centred : bool
        Whether the middle of a section lies on the midline, by and large.
    labels : mapping of label to mapping of name to terms
        As ``terms.parse_terms`` reads them; an empty text says that a name is no region.
    share : mapping of label to float
        For labels that are types: a cell counts where at least this share of its neighbours is of
        the same type, so that a type marks the place where it is packed.
    """

    plane: str = ""
    part: Part | None = None
    between: tuple[float, float] | None = None
    area: str = ""
    turn_deg: float | None = None
    is_framed: bool = False
    is_centred: bool = False
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    share: Mapping[str, float] = field(default_factory=dict)


def known_sets(table: Mapping[str, Any]) -> dict[str, KnownSet]:
    """Return the data sets of a parsed table.

    Raises
    ------
    BadRequest
    """
    try:
        return {name: _one(entry) for name, entry in table["datasets"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRequest(
            f"The table of data sets cannot be read: {error!r}.",
            "See backend/runs/register_regions.yaml.",
        ) from error


def everywhere(sets: Mapping[str, KnownSet]) -> KnownSet:
    """Return the names of all data sets together, for sections of none of them.

    Where two sets use one name, the first of the table decides.
    """
    labels: dict[str, dict[str, str]] = {}
    for known in sets.values():
        for label, names in known.labels.items():
            if label not in known.share:
                found = labels.setdefault(label, {})
                found.update({n: t for n, t in names.items() if n not in found})
    return KnownSet(labels=labels)


def _one(entry: Mapping[str, Any]) -> KnownSet:
    plane = str(entry.get("plane", ""))
    if plane:
        plane_named(plane)
    between = entry.get("between")
    labels = {
        label: {name: str(terms or "") for name, terms in names.items()}
        for label, names in (entry.get("labels") or {}).items()
    }
    return KnownSet(
        plane,
        cast(Part | None, entry.get("part")),
        None if between is None else (float(between[0]), float(between[1])),
        str(entry.get("area", "")),
        None if entry.get("turn") is None else float(entry["turn"]),
        bool(entry.get("frame", False)),
        bool(entry.get("centred", False)),
        labels,
        {label: float(value) for label, value in (entry.get("share") or {}).items()},
    )
