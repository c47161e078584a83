"""soScope as published beside the figures of the reference."""

from __future__ import annotations

from pathlib import Path

from backend.core.job import RunContext
from backend.core.parity import ParityReport, report
from backend.models.soscope.parity.fixture import NEEDED, fixture_of, parity_rows
from backend.models.soscope.parity.settings import FIXTURE
from backend.runs.fixture import read_arrays


def check_soscope(path: Path, ctx: RunContext, epochs: int | None = None) -> ParityReport:
    """Return the metrics of our run of the published procedure beside those of a fixture.

    Parameters
    ----------
    path : Path
        Spots, subspots, graphs, image features, truth and predictions of the reference.
    ctx : RunContext
        Its seed; 0 stands for the published one.
    epochs : int or None
        Of the second step; 1,000 where None, after 600 of the first.

    Raises
    ------
    BadFile, TooLarge
    """
    fixture = fixture_of(path.name, read_arrays(path, NEEDED))
    notes = ["Metrics are compared, not values: the two programs draw other random numbers."]
    if epochs is not None and epochs < FIXTURE.epochs:
        notes.append(f"Shortened to {epochs} epochs, not the {FIXTURE.epochs:,} of the fixture.")
    if fixture.is_noise:
        notes.append("The fixture holds no image features; noise of the same kind is drawn.")
    return report("soscope", path.name, parity_rows(fixture, ctx, epochs), *notes)
