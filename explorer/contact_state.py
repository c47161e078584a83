"""The state of the contacts tool in a link, and what of a result it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PICTURES = ("matrix", "network")
MEASURES = {"z": "z (SD of shifts)", "fold": "log₂ fold (observed / expected)"}


@dataclass(frozen=True, slots=True)
class ContactsAt:
    """State of the tool in a link: a job, and what of its result is shown."""

    job: str = ""
    region: int = 0
    picture: str = PICTURES[0]
    measure: str = "z"
    limit: float = 0.0
    pair: tuple[int, int] | None = None


def parse_at(using: str) -> ContactsAt:
    """Return the state of a link; what cannot be read is left at its default."""
    job, *parts = using.split(",")
    given = dict(part.partition("=")[::2] for part in parts)
    pair = [int(n) for n in given.get("pair", "").split(".") if n.isdecimal()]
    limit = given.get("limit", "")
    return ContactsAt(
        job,
        int(given["region"]) if given.get("region", "").isdecimal() else 0,
        given.get("show", "") if given.get("show") in PICTURES else PICTURES[0],
        given.get("by", "") if given.get("by") in MEASURES else "z",
        float(limit) if limit.replace(".", "", 1).isdecimal() else 0.0,
        (pair[0], pair[1]) if len(pair) == 2 else None,
    )


def write_at(at: ContactsAt) -> str:
    """Return the state as a link holds it; undoes ``parse_at``."""
    plain = ContactsAt()
    parts = [
        at.job,
        f"region={at.region}" if at.region != plain.region else "",
        f"show={at.picture}" if at.picture != plain.picture else "",
        f"by={at.measure}" if at.measure != plain.measure else "",
        f"limit={at.limit:g}" if at.limit else "",
        f"pair={at.pair[0]}.{at.pair[1]}" if at.pair else "",
    ]
    return ",".join(part for k, part in enumerate(parts) if part or not k)


def region_of(found: Mapping[str, Any], at: ContactsAt) -> Mapping[str, Any]:
    """Return the region that is shown: the first where the link names none there is."""
    regions: Sequence[Mapping[str, Any]] = found["regions"]
    return regions[at.region] if at.region < len(regions) else regions[0]


def pairs_of(found: Mapping[str, Any], at: ContactsAt) -> list[Mapping[str, Any]]:
    """Return the pairs of the region that is shown."""
    name = region_of(found, at)["name"]
    return [p for p in found["pairs"] if p["region"] == name]


def value_of(pair: Mapping[str, Any], measure: str) -> float:
    """Return what a pair is coloured by."""
    return float(pair["z"] if measure == "z" else pair["log2_fold"])


def greatest(pairs: Sequence[Mapping[str, Any]], measure: str) -> float:
    """Return the end of the colour range: the 95th percentile of the absolute values."""
    sizes = [abs(value_of(p, measure)) for p in pairs]
    return max(round(float(np.percentile(sizes, 95)), 1), 0.5) if sizes else 1.0
