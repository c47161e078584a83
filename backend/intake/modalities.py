"""A look at multi-omics files before a run: modalities, spots, labels, and all that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.data import SectionData
from backend.core.errors import AtlasError, BadFile, Fault
from backend.core.settings import Limits
from backend.intake.multiomics import Align, read_multiomics

#: How spots of several modalities can be brought together, the strictest first.
WAYS: tuple[Align, ...] = ("strict", "name", "union")
#: Spots that a run handles per second and seed on one core, and its start.
SPOTS_PER_SECOND, START_SECONDS = 4000.0, 6.0


@dataclass(frozen=True, slots=True)
class ModalityCard:
    """What a look at the files of one section found.

    Parameters
    ----------
    title : str
    n_spots : int
        With the alignment that ``align`` names.
    modalities : tuple of mapping
        name, kind, features, spots that have it.
    labels : tuple of (name, classes)
        Labels that domains can be compared with.
    align : str
        The strictest alignment that the files allow.
    ways : mapping of alignment to spots
        What else is possible where the files do not agree on their spots.
    faults : tuple of Fault
        Why the files cannot be used; empty where they can.
    differ : str
        How the spots of the modalities differ; empty where they do not.
    seconds : float
        Estimate of a run with five seeds.
    """

    title: str = ""
    n_spots: int = 0
    modalities: tuple[dict[str, Any], ...] = ()
    labels: tuple[tuple[str, int], ...] = ()
    align: Align = "strict"
    ways: tuple[tuple[str, int], ...] = ()
    faults: tuple[Fault, ...] = ()
    differ: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the files can be used."""
        return not self.faults and bool(self.modalities)

    def as_json(self) -> dict[str, Any]:
        """Return the card as JSON."""
        return {**asdict(self), "ok": self.ok}


def look_at_modalities(paths: Sequence[Path], limits: Limits) -> ModalityCard:
    """Return what the files of one section hold, with the strictest alignment that they allow.

    Parameters
    ----------
    paths : sequence of Path
        As ``read_multiomics`` takes them.
    limits : Limits
    """
    found: dict[Align, SectionData] = {}
    faults: list[Fault] = []
    for way in WAYS:
        try:
            found[way] = read_multiomics(paths, align=way, limits=limits)
        except BadFile as error:
            faults = faults or list(error.faults)
        except AtlasError as error:
            return ModalityCard(faults=(Fault(error.message, "", "", " ".join(error.hints)),))
        if way == "strict" and found:
            break
    if not found:
        return ModalityCard(faults=tuple(faults))
    align = next(iter(found))
    ways = tuple((way, section.n_cells) for way, section in found.items()) if faults else ()
    return _card(found[align], align, ways, faults[0].what if faults else "")


def _card(
    section: SectionData, align: Align, ways: tuple[tuple[str, int], ...], differ: str
) -> ModalityCard:
    modalities = tuple(
        {
            "name": m.name,
            "kind": m.kind,
            "features": len(m.features),
            "spots": int(np.count_nonzero(m.present)),
        }
        for m in section.modalities
    )
    labels = tuple((name, len(label.categories)) for name, label in section.labels.items())
    return ModalityCard(
        title=section.title,
        n_spots=section.n_cells,
        modalities=modalities,
        labels=labels,
        align=align,
        ways=ways,
        differ=differ,
        seconds=START_SECONDS + 5 * section.n_cells / SPOTS_PER_SECOND,
    )
