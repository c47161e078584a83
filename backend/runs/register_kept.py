"""Sections that an interrupted registration had finished, beside the atlas, until all are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.reference import Reference
from backend.store.atlas import Atlas

Made = tuple[dict[str, Any], NDArray[np.float32] | None]


class Kept:
    """Finished sections in a folder beside the atlas; those of other inputs are not used.

    Parameters
    ----------
    atlas_path : Path
    atlas : Atlas
    reference : Reference or None
    seed : int
    rules : str
        All else that decides a result: version of the method, table of data sets, hints.
    """

    def __init__(
        self,
        atlas_path: Path,
        atlas: Atlas,
        reference: Reference | None,
        seed: int,
        rules: str = "",
    ) -> None:
        self.folder = atlas_path.with_name(f"{atlas_path.name}.register")
        digest = hashlib.sha256(f"{atlas.edition} {seed} {rules}".encode())
        if reference is not None:
            digest.update(np.ascontiguousarray(reference.labels).tobytes())
            digest.update(json.dumps(reference.tree).encode())
        self._inputs = digest.hexdigest()

    def once(
        self, section: str, said: Correction | None, validate: bool, make: Callable[[], Made]
    ) -> dict[str, Any]:
        """Return the record of a section, made now or by the run that was interrupted."""
        text = json.dumps([section, None if said is None else asdict(said), validate])
        mark = hashlib.sha256((self._inputs + text).encode()).hexdigest()
        file = self.folder / f"{section}.json"
        if file.is_file():
            found: dict[str, Any] = json.loads(file.read_text("utf-8"))
            if found["mark"] == mark:
                record: dict[str, Any] = found["record"]
                return record
        record, places = make()
        self.folder.mkdir(exist_ok=True)
        if places is not None:
            np.save(self.folder / f"{section}.npy", places, allow_pickle=False)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps({"mark": mark, "record": record}), "utf-8")
        os.replace(draft, file)
        return record

    def places(self, section: str) -> NDArray[np.float32]:
        """Return the places of a finished section, (n, 3)."""
        found: NDArray[np.float32] = np.load(self.folder / f"{section}.npy", allow_pickle=False)
        return found

    def remove(self) -> None:
        """Remove what is written into the atlas by now."""
        shutil.rmtree(self.folder, ignore_errors=True)
