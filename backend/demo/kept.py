"""Layouts of sections kept on disk: planning a large demo makes them, writing needs them again."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np

from backend.demo.section import Layout, SectionSpec, layout


def kept_layout(spec: SectionSpec, folder: Path | None) -> Layout:
    """Return the layout of a section, from the folder where it is there, else made and kept.

    Parameters
    ----------
    spec : SectionSpec
    folder : Path or None
        About 38 bytes per cell; None keeps nothing.
    """
    if folder is None:
        return layout(spec)
    mark = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
    file = folder / f"{spec.id}-{mark}.npz"
    found = _read(file)
    if found is None:
        found = layout(spec)
        _write(file, found)
    return found


def _read(file: Path) -> Layout | None:
    try:
        with np.load(file, allow_pickle=False) as held:
            return Layout(*(held[name] for name in Layout._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # not there yet, or damaged when the machine stopped


def _write(file: Path, made: Layout) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with draft.open("wb") as out:
        np.savez(out, **made._asdict())
    os.replace(draft, file)
