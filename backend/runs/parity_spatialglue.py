"""SpatialGlue's network beside the tensors of the reference."""

from __future__ import annotations

from pathlib import Path

from backend.core.job import RunContext
from backend.core.parity import ParityReport, report
from backend.models.spatialglue.parity import NEEDED, fixture_of, parity_rows
from backend.runs.fixture import read_arrays


def check_spatialglue(path: Path, ctx: RunContext, epochs: int | None = None) -> ParityReport:
    """Return every loss and tensor of our network beside those of a fixture.

    Parameters
    ----------
    path : Path
        Features, graphs, initial weights, losses and outputs of the reference, of any size.
    ctx : RunContext
    epochs : int or None
        As many as the fixture has losses where None.

    Raises
    ------
    BadFile, TooLarge
    """
    fixture = fixture_of(path.name, read_arrays(path, NEEDED))
    notes = [] if epochs is None else ["Shortened: the last outputs are not compared."]
    return report("spatialglue", path.name, parity_rows(fixture, ctx, epochs), *notes)
