"""Layers: whatever a cell has a value of, and how it is coloured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from backend.core.errors import BadRequest
from backend.core.geometry import TileAddress

Kind = Literal["measured", "imputed", "label", "confidence", "weight", "factor", "score", "density"]
#: Every kind by its name.
KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}

#: Code of a cell without a label.
MISSING = -1
#: A layer whose name begins so is kept for the card of a cell and not offered by itself.
HIDDEN = "~"
#: Likeliest classes of an annotated cell that are kept.
LIKELIEST = 3


class LayerKey(NamedTuple):
    """Name of a layer, such as ``imputed:Slc17a7``; the same in URLs, jobs, tests and on disk."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        """Return ``kind:name``."""
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> LayerKey:
        """Return the key that ``text`` spells.

        Raises
        ------
        BadRequest
            If there is no colon or the kind is not known.
        """
        kind, colon, name = text.partition(":")
        if not colon or kind not in KINDS or not name:
            raise BadRequest(
                f"Layer '{text[:80]}' is not of the form kind:name.",
                f"Kinds are {', '.join(KINDS)}; for example label:region or imputed:Slc17a7.",
            )
        return cls(KINDS[kind], name)


def likely_layers(label: str, rank: int) -> tuple[LayerKey, LayerKey]:
    """Return the hidden layers of the ``rank``-th likeliest class: its code, its probability."""
    base = f"{HIDDEN}{label} {rank}"
    return LayerKey("score", f"{base} code"), LayerKey("score", f"{base} probability")


class Category(NamedTuple):
    """One class of a label; its code is its place in the list."""

    name: str
    colour: str
    parent: str | None = None


#: A held-out figure below this is weak, whatever the baseline.
WEAK = 0.2


class Trust(NamedTuple):
    """How far a layer was right where it could be checked.

    figure and baseline are in the unit that ``measure`` names (such as "held-out r"); ``how`` is
    one sentence on the test.
    """

    figure: float
    baseline: float
    measure: str
    baseline_name: str
    how: str

    @property
    def grade(self) -> Literal["strong", "fair", "weak"]:
        """Weak when within 0.05 of the plain baseline or below 0.2; strong from 0.5."""
        if self.figure - self.baseline < 0.05 or self.figure < WEAK:
            return "weak"
        return "strong" if self.figure >= 0.5 else "fair"


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """What a layer is, in which unit, from where, and how far to trust it.

    ``span`` is the default colour range (lo, hi) of a numeric layer in one section.
    """

    key: LayerKey
    title: str
    unit: str = ""
    span: tuple[float, float] | None = None
    categories: tuple[Category, ...] = ()
    version: int = 0
    provenance: str = ""
    trust: Trust | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """How a layer is drawn.

    Parameters
    ----------
    palette : str
        Name of a palette; theme variants are part of the name (``ink-light``, ``ink-dark``).
    lo, hi : float or None
        Colour range of a numeric layer; the layer's span where None.
    size : int
        Pixels per tile side, 256 or 512.
    only : tuple of int
        Codes of a label to isolate; the others are drawn faint. Empty: all are drawn.
    least : float or None
        Cells whose confidence in the label is below this are drawn as unassigned.
    fade : bool
        Whether imputed values of uncertain cells are faded, where certainty is known.
    """

    palette: str = "ink-light"
    lo: float | None = None
    hi: float | None = None
    size: int = 256
    only: tuple[int, ...] = field(default=())
    least: float | None = None
    fade: bool = False


@dataclass(frozen=True, slots=True)
class TileKey:
    """All that decides a tile's pixels, but the version of the store."""

    section: str
    layer: LayerKey
    style: Style
    address: TileAddress
