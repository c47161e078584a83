"""What a person says of sections: facts to place them by, landmarks, and last nudges."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from backend.analysis.registration.place import Part
from backend.analysis.registration.planes import PLANES
from backend.core.errors import BadFile, Fault

Pair = tuple[float, float, float, float]
#: Columns of a table of corrections, one row per section or per landmark.
COLUMNS = (
    "section",
    "skip",
    "plane",
    "position_um",
    "part",
    "flip",
    "rotate_deg",
    "shift_right_um",
    "shift_down_um",
    "x",
    "y",
    "right_um",
    "down_um",
)
_LANDMARK = ("x", "y", "right_um", "down_um")


@dataclass(frozen=True, slots=True)
class Correction:
    """What is said of one section.

    Parameters
    ----------
    skip : bool
        Leave it out.
    plane, position_um, part, flip
        Facts: taken as they are, not looked for. ``flip``: whether the section is mirrored.
    rotate_deg, shift_right_um, shift_down_um : float
        Last nudges in the plane, about the middle of the section; nothing moves them back.
    landmarks : tuple of (x, y, right_um, down_um)
        Places of the section and where they belong; they pull as strongly as a region each.
    """

    skip: bool = False
    plane: str = ""
    position_um: float | None = None
    part: Part | None = None
    flip: bool | None = None
    rotate_deg: float = 0.0
    shift_right_um: float = 0.0
    shift_down_um: float = 0.0
    landmarks: tuple[Pair, ...] = ()

    @property
    def is_nudged(self) -> bool:
        """Whether the placement is moved at the end."""
        return bool(self.rotate_deg or self.shift_right_um or self.shift_down_um)


def read_corrections(path: Path | str) -> dict[str, Correction]:
    """Return the corrections of a .json or .csv file by section.

    JSON: ``{"sections": {"ID": {"rotate_deg": 5, "landmarks": [[x, y, right_um, down_um]]}}}``.
    CSV: columns of ``COLUMNS``, in any order, those not needed left out.

    Raises
    ------
    BadFile
        With all faults of the file at once.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        rows = _table(text) if path.suffix.lower() == ".csv" else _object(text)
    except (OSError, ValueError) as error:
        raise BadFile(path.name, [_fault(f"cannot be read: {error}", "the file")]) from error
    faults: list[Fault] = []
    found: dict[str, Correction] = {}
    for section, entry in rows:
        found[section] = _merged(found.get(section), _parsed(section, entry, faults))
    if faults:
        raise BadFile(path.name, faults)
    return found


def as_json(corrections: Mapping[str, Correction]) -> str:
    """Return corrections as ``read_corrections`` reads them."""
    kept = {section: said(correction) for section, correction in corrections.items()}
    return json.dumps({"sections": kept}, indent=2)


def said(correction: Correction | None) -> dict[str, Any]:
    """Return what a correction says, without what it leaves open; JSON."""
    plain = Correction()
    found = asdict(correction or plain)
    return {name: value for name, value in found.items() if value != getattr(plain, name)}


def _object(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = json.loads(text)
    sections = found.get("sections") if isinstance(found, dict) else None
    if not isinstance(sections, dict) or not all(isinstance(e, dict) for e in sections.values()):
        raise ValueError('there is no object "sections" with an object per section')
    return [(str(section), entry) for section, entry in sections.items()]


def _table(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text))
    unknown = set(reader.fieldnames or ()) - set(COLUMNS)
    if "section" not in (reader.fieldnames or ()) or unknown:
        raise ValueError(f"columns must be section and any of {', '.join(COLUMNS[1:])}")
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for row in reader:
        entry: dict[str, Any] = {k: v for k, v in row.items() if v not in ("", None)}
        section = str(entry.pop("section", ""))
        pair = [entry.pop(name, None) for name in _LANDMARK]
        if any(p is not None for p in pair):
            entry["landmarks"] = [pair]
        rows.append((section, entry))
    return rows


def _merged(before: Correction | None, after: Correction) -> Correction:
    """Return a later row with what earlier rows of its section said besides."""
    if before is None:
        return after
    plain = Correction()
    said = {
        name: value for name in asdict(plain)
        if (value := getattr(after, name)) != getattr(plain, name) and name != "landmarks"
    }  # fmt: skip
    return replace(before, **said, landmarks=before.landmarks + after.landmarks)


def _parsed(section: str, entry: Mapping[str, Any], faults: list[Fault]) -> Correction:
    def number(name: str) -> float | None:
        value = entry.get(name)
        if value is None:
            return None
        found = _number(value)
        if found is None:
            faults.append(_fault(f"{name} is {value!r}", section, "a number"))
        return found

    def fact(name: str) -> bool | None:
        value = entry.get(name)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).lower()
        if word not in ("true", "false", "yes", "no", "1", "0"):
            faults.append(_fault(f"{name} is {value!r}", section, "true or false"))
        return word in ("true", "yes", "1")

    def choice(name: str, of: Sequence[str]) -> str | None:
        value = entry.get(name)
        if value is not None and value not in of:
            faults.append(_fault(f"{name} is {value!r}", section, f"one of {', '.join(of)}"))
            return None
        return value

    unknown = set(entry) - {*COLUMNS, "landmarks"}
    if unknown:
        faults.append(_fault(f"unknown: {', '.join(sorted(unknown))}", section))
    part: Any = choice("part", get_args(Part))
    return Correction(
        bool(fact("skip")),
        choice("plane", tuple(PLANES)) or "",
        number("position_um"),
        part,
        fact("flip"),
        number("rotate_deg") or 0.0,
        number("shift_right_um") or 0.0,
        number("shift_down_um") or 0.0,
        _landmarks(section, entry.get("landmarks") or [], faults),
    )


def _landmarks(section: str, found: Any, faults: list[Fault]) -> tuple[Pair, ...]:
    pairs: list[Pair] = []
    for pair in found if isinstance(found, list) else [found]:
        values = [_number(v) for v in pair] if isinstance(pair, list | tuple) else []
        whole = [v for v in values if v is not None]
        if len(whole) == 4 == len(values):
            pairs.append((whole[0], whole[1], whole[2], whole[3]))
        else:
            faults.append(_fault(f"landmark {pair!r}", section, "x, y, right_um, down_um"))
    return tuple(pairs)


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) and not isinstance(value, bool) else None


def _fault(what: str, where: str, expected: str = "corrections of sections") -> Fault:
    return Fault(what, where, expected, "See python -m backend register --help.")
