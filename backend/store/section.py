"""Sections, categories and provenance as they stand in the attributes of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from backend.core.data import Provenance, SectionInfo
from backend.core.geometry import Bounds, Slot
from backend.core.layers import Category


def section_to_json(info: SectionInfo) -> dict[str, Any]:
    """Return a section's record as plain lists and numbers."""
    record = {f.name: getattr(info, f.name) for f in fields(info)}
    return {
        **record,
        "slot": list(info.slot),
        "origin": list(info.origin),
        "extent": list(info.extent),
        "notes": list(info.notes),
    }


def section_from_json(record: Mapping[str, Any]) -> SectionInfo:
    """Return the section of a record; undoes ``section_to_json``."""
    return SectionInfo(
        **{
            **record,
            "slot": Slot(*record["slot"]),
            "origin": tuple(record["origin"]),
            "extent": Bounds(*record["extent"]),
            "notes": tuple(record["notes"]),
        }
    )


def categories_to_json(categories: Iterable[Category]) -> list[dict[str, str | None]]:
    """Return categories as plain records."""
    return [category._asdict() for category in categories]


def categories_from_json(records: Iterable[Mapping[str, Any]]) -> tuple[Category, ...]:
    """Return the categories of records."""
    return tuple(Category(r["name"], r["colour"], r.get("parent")) for r in records)


def provenance_to_json(provenance: Provenance | None) -> dict[str, Any] | None:
    """Return provenance as a plain record."""
    return None if provenance is None else asdict(provenance)


def provenance_from_json(record: Mapping[str, Any] | None) -> Provenance | None:
    """Return the provenance of a record."""
    if not record:
        return None
    return Provenance(**{**record, "data": tuple(record["data"])})
