"""Names of regions in a section's labels, written as regions of the reference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backend.analysis.registration.reference import Reference
from backend.core.errors import BadRequest

#: Cortical depth of layers, 0 at the surface and 1 at the white matter (mouse, rounded).
LAYERS = {
    "L1": (0.0, 0.12),
    "L2/3": (0.12, 0.36),
    "L4": (0.36, 0.48),
    "L5": (0.48, 0.72),
    "L6": (0.72, 1.01),
    "L2-4": (0.12, 0.48),
    "L4-5": (0.36, 0.72),
}
#: Where there is no layer 4.
AGRANULAR = {**LAYERS, "L2/3": (0.12, 0.40), "L5": (0.40, 0.72)}
#: A term for what lies on the midline, such as the wall of the third ventricle.
MIDLINE = "midline"
_AGRANULAR_AREAS = ("MOp", "MOs", "MO", "ACA", "PL", "ILA", "ORB", "FRP", "AI", "PFC")


class Term(NamedTuple):
    """A region of the reference, or a range of cortical depth in it."""

    acronym: str
    depth: tuple[float, float] | None


def parse_terms(text: str, reference: Reference) -> tuple[Term, ...]:
    """Return the terms of a text such as ``CA1sp, CA2sp`` or ``VISp@L5``.

    Raises
    ------
    BadRequest
        If the reference has no such region or the layer is not one of ``LAYERS``.
    """
    return tuple(_term(part.strip(), reference) for part in text.split(",") if part.strip())


def _term(text: str, reference: Reference) -> Term:
    acronym, _, layer = text.partition("@")
    if text == MIDLINE:
        return Term(MIDLINE, None)
    if acronym not in reference.regions:
        raise BadRequest(
            f"The reference has no region '{acronym[:40]}'.", "Use acronyms of its tree."
        )
    if not layer:
        return Term(acronym, None)
    if layer not in LAYERS:
        raise BadRequest(
            f"There is no cortical layer '{layer[:20]}'.", f"Layers are {', '.join(LAYERS)}."
        )
    table = AGRANULAR if acronym in _AGRANULAR_AREAS else LAYERS
    return Term(acronym, table[layer])


def match_names(
    names: Sequence[str], known: Mapping[str, str], reference: Reference
) -> dict[str, tuple[Term, ...]]:
    """Return the terms of names: those of a table first, else names and acronyms of the tree.

    Parameters
    ----------
    names : sequence of str
        Of a section's label.
    known : mapping of name to terms as text
        An empty text says that the name is none of the reference.
    """
    found = {}
    for name in names:
        text = known.get(name)
        if text is None:
            text = reference.spellings.get(_plain(name), "")
        terms = parse_terms(text, reference)
        if terms:
            found[name] = terms
    return found


def _plain(name: str) -> str:
    return re.sub(r"\s+", " ", name).strip().lower()
