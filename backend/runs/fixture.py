"""Arrays of a parity fixture: an .npz file, read without unpickling, all faults at once."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadFile, Fault, TooLarge

#: Fixtures are small; a larger one is refused unread.
LARGEST_FIXTURE = 1_000_000_000

Arrays = dict[str, NDArray[Any]]


def read_arrays(path: Path, names: Sequence[str]) -> Arrays:
    """Return all arrays of an .npz file.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Arrays that it must hold; the message for another file names them all.

    Raises
    ------
    BadFile
        If it is missing, no .npz file, or lacks arrays.
    TooLarge
        If it would unpack to more than ``LARGEST_FIXTURE`` bytes.
    """
    expected = f"an .npz file with the arrays {', '.join(names)}"
    if not path.is_file():
        raise _bad(path, "there is no such file", expected)
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > LARGEST_FIXTURE:
            raise TooLarge(f"{path.name} unpacks to {size:,} bytes.", f"Expected {expected}.")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _bad(path, f"it cannot be read ({error})", expected) from error
    absent = [name for name in names if name not in arrays]
    if absent:
        raise _bad(path, f"it lacks {', '.join(absent)}", expected)
    return arrays


def _bad(path: Path, what: str, expected: str) -> BadFile:
    remedy = "Give a fixture as the method's parity data has it."
    return BadFile(path.name, [Fault(what, str(path), expected, remedy)])
