"""Starting a worker as a child of the web process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import backend
from backend.core.settings import Settings
from backend.store.place import Place
from backend.worker.consumer import PARENT


def start_worker(
    settings: Settings,
    atlas_path: Place,
    checkpoint: Path | None,
    command: Sequence[str] = (sys.executable, "-m", "backend", "worker"),
) -> subprocess.Popen[bytes]:
    """Start a worker in a process of its own, which ends with this one.

    Parameters
    ----------
    settings : Settings
        Passed on: folder and queue.
    atlas_path : Path or RemotePath
    checkpoint : Path or None
    command : sequence of str
        What to start.
    """
    atlas = atlas_path.resolve() if isinstance(atlas_path, Path) else atlas_path
    arguments = ["--atlas", str(atlas), "--data", str(settings.data.resolve())]
    if checkpoint is not None:
        arguments += ["--checkpoint", str(checkpoint.resolve())]
    if settings.queue:
        arguments += ["--queue", settings.queue]
    root = str(Path(backend.__file__).resolve().parents[1])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    return subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, PARENT: str(os.getpid()), "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
    )
