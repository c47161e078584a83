"""Uploads under the names that their owner knows, for as long as they are read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backend.intake.mapping import safe_id


@contextmanager
def linked(named: Sequence[tuple[str, Path]]) -> Iterator[list[Path]]:
    """Yield links to files, called after safe versions of their names, so that messages use them.

    Parameters
    ----------
    named : sequence of (the client's name, the file)
    """
    with tempfile.TemporaryDirectory(prefix="modalities-") as folder:
        paths = []
        for place, (name, path) in enumerate(named):
            link = Path(folder) / str(place) / f"{safe_id(Path(name).stem)}{path.suffix}"
            link.parent.mkdir()
            link.symlink_to(path.resolve())
            paths.append(link)
        yield paths
