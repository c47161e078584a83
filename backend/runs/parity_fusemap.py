"""FuseMap's published procedure beside the figures of the reference."""

from __future__ import annotations

from pathlib import Path

from backend.core.job import RunContext
from backend.core.parity import ParityReport, report
from backend.models.fusemap.parity.golden import golden_rows
from backend.runs.fixture import read_arrays

#: What the truth of the simulated sections must hold: log rates, effects, composition, panel.
TRUTH = ("base", "TE", "RE", "comp", "shared")


def check_fusemap(path: Path, ctx: RunContext, epochs: int | None = None) -> ParityReport:
    """Return our golden values beside those of the reference.

    Parameters
    ----------
    path : Path
        ``threesections_truth.npz``.
    ctx : RunContext
    epochs : int or None
        Of each training phase; the published number where None.

    Raises
    ------
    BadFile, TooLarge
    """
    read_arrays(path, TRUTH)
    return report("fusemap", path.name, golden_rows())
