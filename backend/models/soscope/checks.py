"""What must be true of sections before they are enhanced; all faults are told at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.core.data import SectionData
from backend.core.errors import BadFile, Fault
from backend.models.soscope.lattice import LEAST


def refuse_faults(sections: Sequence[SectionData]) -> None:
    """Raise BadFile unless every section has spots with coordinates and counts."""
    faults = [fault for section in sections for fault in _faults(section)]
    if faults:
        raise BadFile(" and ".join(s.title for s in sections), faults)


def _faults(section: SectionData) -> list[Fault]:
    where = f"section '{section.title}'"
    faults = []
    if section.n_cells < LEAST:
        faults.append(Fault(f"there are {section.n_cells} spots", where,
                            f"at least {LEAST}", "Give the whole section."))  # fmt: skip
    if not section.has_places:
        faults.append(Fault("spots have no coordinates", where, "two numbers per spot",
                            "Put them into obsm['spatial']."))  # fmt: skip
    if not section.genes:
        faults.append(Fault("no gene was measured", where, "counts of spots",
                            "Choose a section with expression."))  # fmt: skip
    elif not section.is_counts:
        faults.append(Fault(f"values are {section.unit}, not counts", where, "raw counts",
                            "Name the field with raw counts, such as layers/counts."))  # fmt: skip
    else:
        sums = np.asarray(section.counts.sum(axis=1)).ravel()
        empty = int(np.count_nonzero(sums == 0))
        if empty == len(sums):
            faults.append(Fault("all spots are empty", where, "counts above zero",
                                "Check which field holds the counts."))  # fmt: skip
    return faults
