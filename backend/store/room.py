"""Whether there is room for an atlas, on disk and in memory, before work starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from backend.core.errors import TooLarge
from backend.store.slots import PlannedSection

#: Bytes per cell besides embeddings and expression: place, name, labels and numbers, overviews.
_FLAT = 110
#: Share of an embedding's bytes that its overview adds.
_OVERVIEW = 0.4
#: Bytes of memory per cell of the whole atlas while it is finished, and for the program itself.
_FINISH, _PROGRAM = 40, 400 << 20
#: Bytes of memory per cell of a section that is being written, besides its expression.
_SECTION = 300
#: How many times larger a section's expression is in memory than on disk, while it is written:
#: 16 bytes a value against 1.5.
_UNPACKED = 11
#: Share of the disk space that stays free.
_SPARE = 0.05


class Need(NamedTuple):
    """Bytes that writing an atlas takes, estimated."""

    disk: int
    memory: int


def estimate(
    plan: Sequence[PlannedSection], width: int = 0, expression_bytes: int = 0, at_once: int = 1
) -> Need:
    """Return what writing an atlas takes.

    Parameters
    ----------
    plan : sequence of PlannedSection
    width : int
        Dimensions of all embeddings together, one byte each.
    expression_bytes : int
        Of all sections on disk: about 1.5 bytes per value above zero.
    at_once : int
        Sections that are written side by side.
    """
    n = sum(section.n_cells for section in plan)
    disk = n * (_FLAT + width * (1 + _OVERVIEW)) + expression_bytes
    largest = sum(sorted((section.n_cells for section in plan), reverse=True)[:at_once])
    section = largest * (_SECTION + width) + _UNPACKED * expression_bytes * largest / max(n, 1)
    return Need(int(disk), int(_PROGRAM + max(n * (_FINISH + width * _OVERVIEW), section)))


def check(folder: Path, need: Need) -> None:
    """Refuse what does not fit.

    Raises
    ------
    TooLarge
        With the estimate and what is free.
    """
    check_disk(folder, need.disk)
    free = free_memory()
    if free is not None and need.memory > free:
        raise TooLarge(
            f"Writing this atlas takes about {_text(need.memory)} of memory; "
            f"{_text(free)} are free.",
            "Split the largest section, close other programs, or use a larger machine.",
        )


def check_disk(folder: Path, need: int) -> None:
    """Refuse to write ``need`` bytes where they do not fit.

    Raises
    ------
    TooLarge
    """
    free = free_disk(folder)
    if need * (1 + _SPARE) > free:
        raise TooLarge(
            f"This takes about {_text(need)} of disk at {folder}; {_text(free)} are free.",
            "Free some space, or write to another disk.",
        )


def free_disk(folder: Path) -> int:
    """Return the free bytes of the disk that a folder, which need not exist, is on."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def free_memory() -> int | None:
    """Return the bytes of memory that can be had, None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    try:
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text("ascii"))
        found.append(most - int((group / "memory.current").read_text("ascii")))
    except (OSError, ValueError):
        pass  # no limit
    return min(found, default=None)


def _text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
