"""Which store a section lives in: the atlas, or the one-section store of a finished query."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backend.core.data import SectionInfo
from backend.core.errors import UnknownSection, did_you_mean
from backend.core.geometry import Bounds
from backend.store.atlas import Atlas
from backend.store.place import Place
from backend.tiles.layouts import check_layout, parse_layout
from backend.tiles.render import TileRenderer

QUERY_PREFIX = "query-"
MONTAGE = "atlas"
#: After the id of a job: all sections of its result on their plane.
ALL = ".all"
#: Seconds between two looks at whether a store has a new version on disk.
CHECK_EVERY = 2.0
#: Query stores kept open at once.
MOST_QUERIES = 32


@dataclass(frozen=True, slots=True)
class Plane:
    """An open store with its renderer."""

    atlas: Atlas
    renderer: TileRenderer

    def bounds(self, info: SectionInfo) -> Bounds:
        """Return a section's extent on this plane, micrometres."""
        side = self.atlas.world_um / (1 << info.slot.level)
        dx = info.slot.x * side - info.origin[0]
        dy = info.slot.y * side - info.origin[1]
        return info.extent.shifted(dx, dy)


class Planes:
    """Opens the atlas and finished queries, and reopens what has a new version.

    Parameters
    ----------
    atlas_path : Path or RemotePath
    results : Path
        Folder with one folder per job; a finished query has an ``atlas.zarr`` in its own.
    """

    def __init__(self, atlas_path: Place, results: Path) -> None:
        self._results = results
        self._lock = threading.Lock()
        self._main = _open(atlas_path)
        self._checked = time.monotonic()
        self._queries: dict[str, Plane] = {}
        self._seen: dict[str, float] = {}

    @property
    def main(self) -> Plane:
        """The atlas, as last written."""
        now = time.monotonic()
        if now - self._checked > CHECK_EVERY:
            with self._lock:
                self._checked = now
                self._main = _refreshed(self._main)
        return self._main

    def of(self, section: str) -> tuple[Plane, str]:
        """Return the plane that holds a section, and the section's id in that store.

        A layout leads to the section, or the atlas, whose cells it shows in another place.
        ``query-<job>`` is the first section of a result, ``query-<job>.<k>`` the k-th, from 0,
        and ``query-<job>.all`` the plane of all of them, as ``atlas`` is that of the atlas.

        Raises
        ------
        UnknownSection
            If neither the atlas nor a finished query has this id.
        """
        if section.startswith(QUERY_PREFIX):
            if section.endswith(ALL):
                return self._query(section.removesuffix(ALL)), MONTAGE
            job, number = result_of(section)
            plane = self._query(QUERY_PREFIX + job)
            return plane, nth_section(plane.atlas.sections(), section, number)
        plane = self.main
        layout = parse_layout(section)
        if layout is not None:
            check_layout(plane.atlas, layout)
            return plane, layout.base
        if section != MONTAGE:
            plane.atlas.section(section)
        return plane, section

    def info(self, section: str) -> SectionInfo:
        """Return what is on record of a section, under the id it was asked for."""
        plane, inner = self.of(section)
        return replace(plane.atlas.section(inner), id=section)

    def siblings(self, section: str) -> tuple[str, ...]:
        """Return the ids of all sections of the result that a section belongs to, in order."""
        job, _ = result_of(section)
        n = len(self._query(QUERY_PREFIX + job).atlas.sections())
        return tuple(result_section(job, k) for k in range(n))

    def _query(self, section: str) -> Plane:
        with self._lock:
            plane = self._queries.get(section)
            if plane is not None and plane.atlas.path.exists():
                return self._recent(section, plane)
            plane = _open(self._query_path(section))
            while len(self._queries) >= MOST_QUERIES:
                oldest = next(iter(self._queries))
                self._queries.pop(oldest)
                self._seen.pop(oldest, None)
            self._queries[section] = plane
            return plane

    def _recent(self, section: str, plane: Plane) -> Plane:
        """Return the plane of a query, opened anew now and then if a job has written into it."""
        now = time.monotonic()
        if now - self._seen.get(section, 0.0) > CHECK_EVERY:
            self._seen[section] = now
            self._queries[section] = plane = _refreshed(plane)
        return plane

    def _query_path(self, section: str) -> Path:
        job = section.removeprefix(QUERY_PREFIX)
        path = self._results / job / "atlas.zarr"
        # A job id is hexadecimal; anything else must not become a path.
        if not job.isalnum() or not path.is_dir():
            known = [p.name for p in self._results.glob("*") if (p / "atlas.zarr").is_dir()]
            raise UnknownSection(
                f"There is no annotated section '{section[:60]}'.",
                "Results are deleted after the stated time; annotate the file again.",
                did_you_mean(job, known),
            )
        return path


def result_section(job: str, number: int) -> str:
    """Return the id of the k-th section of a job's result; the first goes by the job alone."""
    return f"{QUERY_PREFIX}{job}.{number}" if number else f"{QUERY_PREFIX}{job}"


def result_of(section: str) -> tuple[str, int]:
    """Return the job and the number that an id names; the number is -1 where it is none."""
    job, dot, number = section.removeprefix(QUERY_PREFIX).partition(".")
    if not dot:
        return job, 0
    return job, int(number) if number.isascii() and number.isdigit() and len(number) < 5 else -1


def nth_section(sections: Sequence[SectionInfo], name: str, number: int) -> str:
    """Return the id, in its own atlas, of the section of a result that ``name`` numbers.

    Raises
    ------
    UnknownSection
    """
    if not 0 <= number < len(sections):
        raise UnknownSection(
            f"There is no section '{name[:60]}' in this result.",
            f"It has {len(sections)}, numbered from 0.",
        )
    return sections[number].id


def _open(path: Place) -> Plane:
    atlas = Atlas.open(path)
    return Plane(atlas, TileRenderer(atlas))


def _refreshed(plane: Plane) -> Plane:
    atlas = plane.atlas.refresh()
    return plane if atlas is plane.atlas else Plane(atlas, TileRenderer(atlas))
