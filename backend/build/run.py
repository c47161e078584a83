"""Building an atlas: look at all files, plan, write sections in parallel, join.

The work is a Dask graph of groups of sections: on this machine by default, on any cluster that
shares the folders of files and atlas by its scheduler's address. Either way the bytes are the same.
Of each task one section lies in memory, as sparse counts; of a dense file, blocks of its rows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.build.config import BuildConfig
from backend.build.plan import (
    Part,
    parts_of,
    plan_sections,
    raise_together,
    scale_of,
    union_genes,
)
from backend.build.size import stored_values
from backend.core.data import Provenance, SectionData
from backend.core.errors import BadFile, BadRequest, StoreExists
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.intake.read import FileScan, each_section, scan_file
from backend.store.atlas import Atlas
from backend.store.parallel import run_tasks
from backend.store.root import remove_work
from backend.store.write import AtlasWriter

#: Share of the progress bar that looking at the files takes.
_LOOK, _WRITTEN = 0.2, 0.95
#: What an embedding is by that came with the files.
GIVEN = "given with the files"


def build_atlas(
    out: Path | str,
    files: Sequence[Path] = (),
    config: BuildConfig | Path | None = None,
    ctx: RunContext | None = None,
    scheduler: str | None = None,
    root: Path | None = None,
    name: str | None = None,
    embedding: str | None = None,
) -> Path:
    """Build an atlas from files of sections and return its path.

    A build that was interrupted goes on at the section where it stopped; one that is finished is
    left as it is.

    Parameters
    ----------
    out : Path
    files : sequence of Path
        Files that are read without instructions, beside those of the configuration.
    config : BuildConfig or Path, optional
    ctx : RunContext, optional
    scheduler : str, optional
        Address of a Dask scheduler.
    root : Path, optional
        Folder that paths of the configuration start from.
    name : str, optional
        Name of the atlas; that of the configuration, or of the folder.
    embedding : str, optional
        ``obsm/KEY`` of ``files`` with an embedding of their cells, to be kept.

    Raises
    ------
    BadFile
        With all that is wrong with all files; nothing is written then.
    BadRequest
        If there is nothing to build, the configuration cannot be read, or sections differ in
        species or in the dimensions of their embedding; nothing is written then.
    StoreExists
        If there is another atlas at ``out``, or half of one.
    TooLarge
        If there is not enough disk or memory; nothing is written then.
    """
    ctx, out = ctx or RunContext(), Path(out)
    plan = _configuration(out, files, config, root, name, embedding)
    mark = _fingerprint(plan)
    if out.exists():
        if Atlas.open(out).attrs["provenance"].get("fingerprint") != mark:
            raise StoreExists(
                f"'{out}' is another atlas, or its files have changed since.",
                "Choose another name, or delete it first.",
            )
        remove_work(out)  # a build that was killed at its very last step left it
        ctx.step(1.0, f"{out} is finished; nothing to do.")
        return out
    scans = _look(plan, ctx.part(0.0, _LOOK), scheduler)
    planned, ids = plan_sections(scans)
    scale = scale_of(scans)
    provenance = {
        "fingerprint": mark,
        "files": [{"name": f.name, "bytes": f.stat().st_size} for f, _ in plan.sets],
    }
    writer = AtlasWriter(
        out,
        plan.name,
        False,
        union_genes(scans),
        planned,
        provenance,
        scale={} if scale is None else {"cell": scale},
        checkpoint="" if scale is None else GIVEN,
        embedded_by=None if scale is None else _given(plan),
        expression_bytes=sum(stored_values(f) for f, _ in plan.sets) * 3 // 2,
        at_once=os.cpu_count() or 1,
    )
    _write(writer, parts_of(scans, ids, writer.pending), ctx.part(_LOOK, _WRITTEN), scheduler)
    ctx.step(_WRITTEN, "Joining sections, building the overview")
    writer.finish()
    ctx.step(1.0, f"Wrote {out}: {len(planned)} sections")
    return out


def look_at(file: Path, mapping: ReadMapping) -> FileScan | BadFile:
    """Return the scan of a file, or what is wrong with it."""
    try:
        return scan_file(file, mapping)
    except BadFile as error:
        return error


def write_part(writer: AtlasWriter, part: Part) -> None:
    """Write some sections of a file, one in memory at a time."""
    for data in each_section(part.path, part.mapping, part.ids, checked=True):
        writer.add(replace(data, id=part.ids[data.id]), _rounded(data, writer.scale.get("cell")))


def _rounded(
    data: SectionData, scale: NDArray[np.float32] | None
) -> tuple[NDArray[np.int8], None] | None:
    """Return the embedding of a section in whole steps of ``scale``, or None."""
    if data.embedding is None or scale is None:
        return None
    steps = np.clip(np.rint(data.embedding / scale), -127, 127)
    return steps.astype(np.int8), None


def _given(plan: BuildConfig) -> Provenance:
    fields = sorted({m.embedding for _, m in plan.sets if m.embedding is not None})
    return Provenance(GIVEN, "", {"fields": fields}, 0, tuple(f.name for f, _ in plan.sets))


def _configuration(
    out: Path,
    files: Sequence[Path],
    config: BuildConfig | Path | None,
    root: Path | None,
    name: str | None,
    embedding: str | None,
) -> BuildConfig:
    own = BuildConfig.of_files(name or out.name.removesuffix(".zarr"), files, embedding)
    if config is None:
        plan = own
    else:
        given = BuildConfig.load(config, root) if isinstance(config, Path) else config
        plan = BuildConfig(name or given.name, given.sets + own.sets)
    if not plan.sets:
        raise BadRequest("There is nothing to build from.", "Name .h5ad files, or a --config.")
    return plan


def _fingerprint(plan: BuildConfig) -> str:
    """Return a digest of the configuration and of the names and sizes of its files."""
    sizes = [(f.name, f.stat().st_size if f.is_file() else -1) for f, _ in plan.sets]
    mappings = [_stable(mapping) for _, mapping in plan.sets]
    return hashlib.sha256(repr([plan.name, sizes, mappings]).encode()).hexdigest()[:16]


def _stable(value: Any) -> Any:
    """Return a value whose text does not depend on the order of sets."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return [(key, _stable(item)) for key, item in value.items()]
    if hasattr(value, "__dataclass_fields__"):
        return [(name, _stable(getattr(value, name))) for name in value.__dataclass_fields__]
    return value


def _look(plan: BuildConfig, ctx: RunContext, scheduler: str | None) -> list[FileScan]:
    """Return the scans of all files; raise what is wrong with them together."""
    found: list[FileScan | BadFile | None] = [None] * len(plan.sets)

    def done(place: int, scan: FileScan | BadFile) -> None:
        found[place] = scan
        seen = sum(s is not None for s in found)
        ctx.step(seen / len(found), f"Looked at {plan.sets[place][0].name}")

    with _threads(scheduler) as pool:
        run_tasks(look_at, plan.sets, done, pool=pool, scheduler=scheduler)
    raise_together([scan for scan in found if isinstance(scan, BadFile)])
    return [scan for scan in found if isinstance(scan, FileScan)]


def _write(
    writer: AtlasWriter, parts: Sequence[Part], ctx: RunContext, scheduler: str | None
) -> None:
    total = len(writer.infos)
    written = total - len(writer.pending)

    def done(place: int, _: None) -> None:
        nonlocal written
        written += len(parts[place].ids)
        message = f"Wrote {parts[place].path.name} ({written} of {total} sections)"
        ctx.step(written / total, message)

    with _threads(scheduler) as pool:
        tasks = [(writer, part) for part in parts]
        run_tasks(write_part, tasks, done, pool=pool, scheduler=scheduler)


def _threads(scheduler: str | None) -> AbstractContextManager[ThreadPoolExecutor | None]:
    """Give as many threads as there are cores, which end with the block; none for a cluster."""
    return nullcontext() if scheduler else ThreadPoolExecutor(os.cpu_count())
