"""Building an atlas: look at all files, plan, write sections in parallel, join.

The work is a Dask graph with one task per file: on this machine by default, on any cluster that
shares the folder of the atlas by its scheduler's address. Either way the bytes are the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from backend.build.config import BuildConfig
from backend.build.plan import plan_sections, raise_together, union_genes
from backend.build.size import stored_values
from backend.core.errors import BadFile, BadRequest, StoreExists
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.intake.read import FileScan, read_h5ad, scan_file
from backend.store.atlas import Atlas
from backend.store.root import remove_work
from backend.store.write import AtlasWriter

#: Share of the progress bar that looking at the files takes.
_LOOK, _WRITTEN = 0.2, 0.95


def build_atlas(
    out: Path | str,
    files: Sequence[Path] = (),
    config: BuildConfig | Path | None = None,
    ctx: RunContext | None = None,
    scheduler: str | None = None,
    root: Path | None = None,
    name: str | None = None,
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

    Raises
    ------
    BadFile
        With all that is wrong with all files; nothing is written then.
    BadRequest
        If there is nothing to build, or the configuration cannot be read.
    StoreExists
        If there is another atlas at ``out``, or half of one.
    TooLarge
        If there is not enough disk or memory; nothing is written then.
    """
    ctx, out = ctx or RunContext(), Path(out)
    plan = _configuration(out, files, config, root, name)
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
        expression_bytes=sum(stored_values(f) for f, _ in plan.sets) * 3 // 2,
        at_once=os.cpu_count() or 1,
    )
    _write(writer, plan, ids, ctx.part(_LOOK, _WRITTEN), scheduler)
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


def write_file(
    writer: AtlasWriter,
    file: Path,
    mapping: ReadMapping,
    ids: dict[str, str],
    told: Callable[[str], None] | None = None,
) -> int:
    """Write the sections of a file that are not yet written; return how many."""
    pending = set(writer.pending)
    wanted = {own for own, atlas in ids.items() if atlas in pending}
    if not wanted:
        return 0
    for data in read_h5ad(file, mapping, wanted):
        writer.add(replace(data, id=ids[data.id]))
        if told is not None:
            told(data.title)
    return len(wanted)


def _configuration(
    out: Path,
    files: Sequence[Path],
    config: BuildConfig | Path | None,
    root: Path | None,
    name: str | None,
) -> BuildConfig:
    own = BuildConfig.of_files(name or out.name.removesuffix(".zarr"), files)
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
    for n, (i, scan) in enumerate(_parallel(look_at, plan.sets, scheduler), 1):
        found[i] = scan
        ctx.step(n / len(found), f"Looked at {plan.sets[i][0].name}")
    raise_together([scan for scan in found if isinstance(scan, BadFile)])
    return [scan for scan in found if isinstance(scan, FileScan)]


def _write(
    writer: AtlasWriter,
    plan: BuildConfig,
    ids: Sequence[dict[str, str]],
    ctx: RunContext,
    scheduler: str | None,
) -> None:
    total = sum(len(names) for names in ids)
    done = total - len(writer.pending)
    lock = Lock()

    def told(title: str) -> None:
        """Count one section; called by the threads of this process."""
        nonlocal done
        with lock:
            done += 1
            ctx.step(done / total, f"Wrote {title} ({done} of {total} sections)")

    here = told if scheduler is None else None
    tasks = [
        (writer, file, mapping, names, here)
        for (file, mapping), names in zip(plan.sets, ids, strict=True)
    ]
    for _, count in _parallel(write_file, tasks, scheduler):
        if here is None:
            done += count
            ctx.step(done / total, f"{done} of {total} sections are written")


def _parallel(
    work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], scheduler: str | None
) -> Iterator[tuple[int, Any]]:
    """Give the place and answer of each task: threads of this machine, or a cluster."""
    # By name, since Dask is untyped, and only now, since its import takes half a second.
    if scheduler is None:
        dask: Any = import_module("dask")
        graph = [dask.delayed(work, pure=False, traverse=False)(*task) for task in tasks]
        # A pool of our own is waited for: after an error, no thread goes on writing behind us.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            answers = dask.compute(*graph, scheduler="threads", pool=pool)
        yield from enumerate(answers)
        return
    cluster: Any = import_module("dask.distributed")
    try:
        client = cluster.Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise BadRequest(
            f"There is no Dask scheduler at '{scheduler}'.", "Start one: dask scheduler."
        ) from error
    with client:
        futures = [client.submit(work, *task, pure=False) for task in tasks]
        places = {future.key: i for i, future in enumerate(futures)}
        for future in cluster.as_completed(futures):
            yield places[future.key], future.result()
