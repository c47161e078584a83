"""The staging folder: an atlas in the making, which several processes fill until it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import StoreExists
from backend.store import flat, room
from backend.store.root import PARTIAL, WORK, half_built, remove_work


class Staging:
    """A folder beside an atlas to be, renamed to its name when it is whole.

    Parameters
    ----------
    path : Path
        Of the atlas to be.
    infos : mapping of id to SectionInfo
        Its sections; together they have N cells.
    """

    def __init__(self, path: Path, infos: Mapping[str, SectionInfo]) -> None:
        self.path = path
        self.folder = path.with_name(path.name + PARTIAL)
        self._work = self.folder / WORK
        self._n_sections = len(infos)
        self._n_cells = sum(info.n_cells for info in infos.values())
        self._mark = self._work / "none"

    def begin(
        self,
        plan: Sequence[Any],
        tables: Mapping[str, NDArray[np.float32]],
        need: room.Need,
        anew: bool,
    ) -> bool:
        """Return whether the folder is to be filled from the start; then it is made empty.

        Parameters
        ----------
        plan : sequence
            What the atlas is to be, as JSON holds it; another plan is another atlas.
        tables : mapping of array to float32
            Tables that belong to the plan.
        need : Need
            Disk and memory.
        anew : bool
            Replace a half-built atlas of another plan, rather than refuse.

        Raises
        ------
        StoreExists
            If half an atlas of another plan is there.
        TooLarge
            If there is not enough disk or memory.
        """
        self._mark = self._work / _digest(plan, tables)
        if self._mark.exists():
            return False
        begun = half_built(self.path)
        if begun is not None and begun[0] and not anew:
            raise StoreExists(
                f"{self.folder} holds a half-built atlas of another plan "
                f"({begun[0]} of {begun[1]} sections).",
                "Repeat the command that began it to go on, or delete that folder.",
            )
        room.check(self.folder, need)
        shutil.rmtree(self.folder, ignore_errors=True)
        return True

    def begun(self) -> None:
        """Record that the folder is ready for sections."""
        for name in ("done", "names"):
            (self._work / name).mkdir(parents=True, exist_ok=True)
        flat.write_json(self._work / "plan.json", {"sections": self._n_sections})
        self._mark.touch()

    def create(self, logical: str, dtype: type, width: int = 0) -> None:
        """Create an array (N,), or (N, width), of all cells."""
        shape = (self._n_cells, width) if width else (self._n_cells,)
        flat.create(self.folder / logical, shape, dtype)

    def ensure(self, logical: str, dtype: type, fill: float) -> None:
        """Create an array (N,) of all cells once, even if several processes ask for it."""
        folder = self.folder / logical
        if folder.exists():
            return
        draft = self._work / uuid.uuid4().hex
        flat.create(draft, (self._n_cells,), dtype, fill=fill)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(draft, folder)
        except OSError:
            shutil.rmtree(draft)  # another process was first
            if not folder.exists():
                raise

    def fill(self, logical: str, info: SectionInfo, values: NDArray[Any]) -> None:
        """Write the rows of a section into an array of all cells."""
        flat.writable(self.folder / logical)[info.rows] = values

    def keep_names(self, info: SectionInfo, names: Sequence[str]) -> None:
        """Keep the names of the cells of a section until all are joined."""
        encoded = [name.encode() for name in names]
        folder = self._work / "names"
        (folder / f"{info.id}.bin").write_bytes(b"".join(encoded))
        np.save(folder / f"{info.id}.npy", np.array([len(e) for e in encoded], np.int64))

    def is_done(self, section: str) -> bool:
        """Return whether all of a section is written."""
        return self._done(section).exists()

    def keep_done(self, info: SectionInfo, record: Mapping[str, Any]) -> None:
        """Record that all of a section is written, and what is known of it."""
        flat.write_json(self._done(info.id), dict(record))

    def rename(self) -> Path:
        """Give the finished folder its final name; return it."""
        os.replace(self.folder, self.path)
        remove_work(self.path)
        return self.path

    def _done(self, section: str) -> Path:
        return self._work / "done" / f"{section}.json"


def _digest(plan: Sequence[Any], tables: Mapping[str, NDArray[np.float32]]) -> str:
    digest = hashlib.sha256(json.dumps(list(plan), sort_keys=True).encode())
    for table in tables.values():
        digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()
