"""The places of a layout while it is made: on disk, so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

Number = NDArray[np.float32]


class Placing:
    """A folder beside the atlas with the fitted plane and the places of all cells so far.

    A part of the cells is done when all of them have a place; a part that was being written when
    the run ended is made again as a whole, to the same values.

    Parameters
    ----------
    folder : Path
    n : int
        Cells of the atlas.
    mark : sequence of str
        All that decides the places; what is there of another mark is dropped.
    """

    def __init__(self, folder: Path, n: int, mark: Sequence[str]) -> None:
        self._folder = folder
        digest = hashlib.sha256(json.dumps([n, *mark]).encode()).hexdigest()
        note = folder / "mark.txt"
        if not note.is_file() or note.read_text("utf-8") != digest:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            open_memmap(folder / "places.npy", "w+", np.float32, (n, 2))[:] = np.nan
            note.write_text(digest, "utf-8")
        self.places: Number = open_memmap(folder / "places.npy", "r+")

    def fitted(self) -> tuple[NDArray[np.int64], Number] | None:
        """Return the rows that were fitted, and their places; None where they were not yet."""
        try:
            with np.load(self._folder / "plane.npz", allow_pickle=False) as held:
                return held["rows"], held["plane"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, rows: NDArray[np.int64], plane: Number) -> None:
        """Keep the rows that were fitted, and their places."""
        draft = self._folder / "draft.npz"
        np.savez(draft, rows=rows, plane=plane)
        os.replace(draft, self._folder / "plane.npz")

    def is_done(self, part: slice) -> bool:
        """Return whether all cells of a run of rows have a place."""
        return not bool(np.isnan(self.places[part]).any())

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
