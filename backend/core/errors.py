"""Every error a person can meet: what happened, where, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class AtlasError(Exception):
    """Base of all errors that are meant to be read by a person.

    Parameters
    ----------
    message : str
        What happened and where, in one sentence.
    *hints : str
        What to do about it, one remedy each.
    """

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message)
        self.message = message
        self.hints = list(hints)

    def __str__(self) -> str:
        """Return message and hints as one text."""
        return " ".join([self.message, *self.hints])

    def as_json(self) -> dict[str, object]:
        """Return the one error shape of the HTTP interface."""
        return {"error": type(self).__name__, "message": self.message, "hint": self.hints}


class UnknownSection(AtlasError, LookupError):
    """A section id that the atlas does not hold."""


class UnknownGene(AtlasError, LookupError):
    """A gene symbol or id that the atlas does not hold."""


class UnknownLayer(AtlasError, LookupError):
    """A layer that a section does not have."""


class UnknownCell(AtlasError, LookupError):
    """A row outside a section."""


class UnknownJob(AtlasError, LookupError):
    """A job id that is not in the job table, or whose results were deleted."""


class UnknownUpload(AtlasError, LookupError):
    """An upload id that was never given out, or has expired."""


class TileOutOfRange(AtlasError, ValueError):
    """A tile address outside the quadtree."""


class BadRequest(AtlasError, ValueError):
    """A parameter that cannot be read or is out of its range."""


class TooLarge(AtlasError, ValueError):
    """An upload or request above a stated limit."""


class TooFewCells(AtlasError, ValueError):
    """A section with too few cells for what was asked."""


class NoSharedGenes(AtlasError, ValueError):
    """A query whose genes do not overlap those of the checkpoint."""


class BadStore(AtlasError, ValueError):
    """A folder that is not a readable atlas of this format."""


class StoreExists(AtlasError, ValueError):
    """A target that exists and would be overwritten."""


class BadCheckpoint(AtlasError, ValueError):
    """A checkpoint that is damaged, of another version, or does not fit the atlas."""


class QuotaExceeded(AtlasError, RuntimeError):
    """Too many uploads or jobs of one session at once."""


class PortInUse(AtlasError, OSError):
    """The port is taken by another program."""

    def __str__(self) -> str:
        """Return message and hints; OSError would show its own arguments."""
        return " ".join([self.message, *self.hints])


class NoSpatialSignal(AtlasError, ValueError):
    """Data in which nothing varies in space more than shuffled spots do."""


class Diverged(AtlasError, ArithmeticError):
    """A fit that produced a value that is not finite."""


class OutOfMemory(AtlasError, MemoryError):
    """A run that needed more memory than there is."""


class Cancelled(AtlasError, RuntimeError):
    """A run that was stopped by its owner."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a file.

    Parameters
    ----------
    what : str
        What is wrong, with a count or an example value.
    where : str
        Field of the file, such as ``obsm['spatial']``.
    expected : str
        What should be there.
    remedy : str
        What to do.
    """

    what: str
    where: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        """Return the fault as one line."""
        return f"{self.where}: {self.what}. Expected: {self.expected}. {self.remedy}"


class BadFile(AtlasError, ValueError):
    """A file with one or more faults; all of them are reported at once.

    Parameters
    ----------
    name : str
        File name as the user knows it.
    faults : iterable of Fault
        At least one.
    """

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.name = name
        self.faults = tuple(faults)
        count = len(self.faults)
        noun = "problem" if count == 1 else "problems"
        super().__init__(f"{name}: {count} {noun}.", *[str(fault) for fault in self.faults])

    def as_json(self) -> dict[str, object]:
        """Return the one error shape, with the faults one by one."""
        faults = [
            {"what": f.what, "where": f.where, "expected": f.expected, "remedy": f.remedy}
            for f in self.faults
        ]
        return {**super().as_json(), "faults": faults}


def did_you_mean(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return a sentence naming the known names closest to ``name``, or an empty string.

    Matching ignores case, since symbols differ in case between species.
    """
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=0.6)
    return f"Did you mean {', '.join(by_lower[c] for c in close)}?" if close else ""
