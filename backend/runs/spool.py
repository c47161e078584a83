"""Arrays of sections kept on disk while a run is under way, so that none lies in memory whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Number = NDArray[np.float32]


class Spool:
    """A folder beside the atlas with one array per section and name.

    What a run of the same mark left is used again; of another mark, it is dropped.

    Parameters
    ----------
    folder : Path
    mark : str
        All that decides the arrays.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder = folder
        note = folder / "mark.txt"
        if not note.is_file() or note.read_text("utf-8") != mark:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            note.write_text(mark, "utf-8")

    def has(self, section: str, name: str) -> bool:
        """Return whether an array is there, whole."""
        return self._file(section, name).is_file()

    def put(self, section: str, name: str, values: NDArray[np.generic]) -> None:
        """Keep an array, whole or not at all."""
        file = self._file(section, name)
        draft = file.with_name("draft.npy")
        np.save(draft, values, allow_pickle=False)
        os.replace(draft, file)

    def get(self, section: str, name: str) -> Number:
        """Return an array as a memory map."""
        return np.asarray(np.load(self._file(section, name), mmap_mode="r", allow_pickle=False))

    def rows(self, name: str, n: int, d: int) -> NDArray[np.int8]:
        """Return a new array of zeros on disk, (n, d) int8, writable."""
        return np.lib.format.open_memmap(self._folder / f"{name}.npy", "w+", np.int8, (n, d))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, section: str, name: str) -> Path:
        return self._folder / f"{name}-{section}.npy"
