"""Place the sections of an atlas in common coordinates, and write them into it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration import order
from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.place import CannotPlace
from backend.analysis.registration.planes import AXES, in_space, plane_along, plane_named
from backend.analysis.registration.reference import Reference, load_reference
from backend.analysis.registration.section import held_out, register_section
from backend.core.data import Provenance, SectionInfo, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.runs.register_kept import Kept
from backend.runs.register_labels import TABLE, Hint, Tables, Target, prepare
from backend.runs.register_record import outline_of, record_of, reference_of, volume_about
from backend.runs.register_template import Template
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.store.space import SpaceResult, read_volume

METHOD, VERSION = "registration", "1"
#: Labels that sections are ordered by; that which most of them have.
ORDERED_BY = ("region", "class", "type")


def register_atlas(
    atlas_path: Path | str,
    reference: Path | str | Reference | None = None,
    ctx: RunContext | None = None,
    *,
    sections: Sequence[str] = (),
    corrections: Mapping[str, Correction] | None = None,
    hints: Mapping[str, Hint] | None = None,
    validate: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Register sections and write their places and records into the atlas.

    Parameters
    ----------
    atlas_path : Path
    reference : Path, Reference or None
        Folder with the labels and the tree of the reference. Without one, the reference that the
        atlas keeps from the last time; without that, the sections are laid over one another.
    ctx : RunContext, optional
    sections : sequence of str
        Which; all if empty.
    corrections : mapping of section to Correction, optional
    hints : mapping of section to Hint, optional
        For sections whose plane nothing else tells.
    validate : bool
        Also register with half of the regions hidden, and score those.
    seed : int

    Returns
    -------
    dict
        ``space``, ``sections`` (a record each: status, scores or the reason of a refusal),
        ``order`` (sections by composition, per axis), ``version``.

    Raises
    ------
    BadStore, BadFile, UnknownSection, BadRequest, Cancelled
    """
    ctx = ctx or RunContext(seed=seed)
    atlas = Atlas.open(atlas_path)
    known = _reference(atlas, reference)
    chosen = _chosen(atlas, sections, corrections or {})
    target: Target = Tables(known, hints or {}) if known is not None else Template(atlas)
    chosen = target.sequence(chosen)
    rules = f"{VERSION} {TABLE.read_text('utf-8')} {sorted((hints or {}).items())}"
    kept = Kept(Path(atlas_path), atlas, known, seed, rules)
    records: dict[str, dict[str, Any]] = {}
    for i, info in enumerate(chosen):
        part = ctx.part(0.02 + 0.93 * i / len(chosen), 0.02 + 0.93 * (i + 1) / len(chosen))
        part.step(0.0, f"Registering {info.title}")
        said = (corrections or {}).get(info.id)
        make = partial(_one, atlas, info, target, said, seed, part, validate)
        records[info.id] = kept.once(info.id, said, validate, make)
        if records[info.id]["status"] == "registered":
            plane = plane_named(records[info.id]["plane"])
            target.placed(info, kept.places(info.id)[:, [plane.right, plane.down]].astype(float))
    ctx.step(0.96, "Writing the places")
    places = {s: kept.places(s) for s, r in records.items() if r["status"] == "registered"}
    written = write_result(
        atlas_path,
        TaskResult(provenance=_provenance(known, reference, corrections or {}, records, seed)),
        space=SpaceResult(
            places,
            records,
            target.about,
            None if known is None else outline_of(known, seed),
            None if known is None else known.labels,
            {} if known is None else volume_about(known),
        ),
    )
    kept.remove()
    ctx.report(1.0, "Registered")
    return {
        "space": target.about["name"],
        "sections": records,
        "order": ordered(atlas, chosen),
        "version": written.version,
    }


def _reference(atlas: Atlas, folder: Path | str | Reference | None) -> Reference | None:
    """Return the reference of a folder, else the one that the atlas keeps, else None."""
    if isinstance(folder, Reference):
        return folder
    if folder is not None:
        return load_reference(folder)
    found = read_volume(atlas)
    return None if found is None else reference_of(*found)


def _chosen(
    atlas: Atlas, sections: Sequence[str], corrections: Mapping[str, Correction]
) -> list[SectionInfo]:
    for name in corrections:
        atlas.section(name)
    return [atlas.section(s) for s in sections] or list(atlas.sections())


def _one(
    atlas: Atlas,
    info: SectionInfo,
    target: Target,
    said: Correction | None,
    seed: int,
    ctx: RunContext,
    validate: bool,
) -> tuple[dict[str, Any], NDArray[np.float32] | None]:
    """Return the record of a section, and its places in the space if it could be placed."""
    began = time.monotonic()
    try:
        if said is not None and said.skip:
            raise CannotPlace("Left out by a correction.")
        ready = prepare(atlas, info, target, said)
        xy = np.asarray(atlas.xy[info.rows], np.float64)
        share = 0.4 if validate else 1.0
        report = _reporter(ctx.part(0, share), info.title)
        found = register_section(xy, ready.codes, ready.along, ready.known, said, seed, report)
        hidden = None
        if validate:
            rest = _reporter(ctx.part(share, 1.0), info.title)
            hidden = held_out(xy, ready.codes, ready.along, ready.known, seed, rest)
    except CannotPlace as error:
        return {"status": "refused", "reason": str(error), "title": info.title}, None
    record = record_of(info, ready, found, said)
    record |= {"held_out": hidden, "seconds": round(time.monotonic() - began, 2)}
    return record, in_space(ready.plane, found.uv, found.placement.position_um)


def _reporter(ctx: RunContext, title: str) -> Any:
    return lambda share: ctx.step(share, f"Registering {title}")


def _provenance(
    known: Reference | None,
    folder: Path | str | Reference | None,
    corrections: Mapping[str, Correction],
    records: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> Provenance:
    parameters = {
        "reference": "sections of the atlas" if known is None else known.name,
        "licence": "" if known is None else known.licence,
        "axes": list(AXES),
        "corrected": sorted(corrections),
        "read_from": Path(folder).name if isinstance(folder, Path | str) else "",
    }
    data = tuple(s for s, r in records.items() if r["status"] == "registered")
    return Provenance(METHOD, VERSION, parameters, seed, data)


def ordered(atlas: Atlas, infos: Sequence[SectionInfo]) -> list[dict[str, Any]]:
    """Return sections in order by composition, per axis, beside their known positions.

    Returns
    -------
    list of dict
        ``axis``, ``label``, ``sections`` (ids in order), ``known`` (positions, mm), ``agreement``
        (Kendall's tau and Spearman's rho where five or more positions are known).
    """
    groups: dict[str, list[SectionInfo]] = {}
    for info in infos:
        plane = plane_along(info.axis)
        if plane is not None:
            groups.setdefault(plane.name, []).append(info)
    found = []
    for axis, members in groups.items():
        name, having = _commonest_label(atlas, members)
        if len(having) >= 3:
            found.append(_order_of(atlas, axis, name, having))
    return found


def _commonest_label(atlas: Atlas, members: Sequence[SectionInfo]) -> tuple[str, list[SectionInfo]]:
    """Return the label that most of the sections have, and these; places before types."""
    best: tuple[str, list[SectionInfo]] = ("", [])
    for name in ORDERED_BY:
        having = [i for i in members if i.id in atlas.attrs["labels"].get(name, ())]
        if len(having) > len(best[1]):
            best = name, having
    return best


def _order_of(atlas: Atlas, axis: str, name: str, members: Sequence[SectionInfo]) -> dict[str, Any]:
    label = atlas.label(name)
    n = len(label.categories)
    counts = np.stack(
        [np.bincount(c[c >= 0], minlength=n) for i in members for c in [label.codes[i.rows]]]
    )
    known = [info.position for info in members]
    try:
        ranked = order.order_sections(counts, known)
    except BadRequest:
        return {"axis": axis, "label": name, "sections": [], "known": [], "agreement": None}
    positions = [known[i] for i in ranked]
    have = np.array([i for i, p in enumerate(known) if p is not None])
    agree = None
    if len(have) >= 5:
        rank = np.argsort(ranked)[have]
        agree = order.agreement(np.argsort(rank), np.array([known[i] for i in have], float))
    return {
        "axis": axis,
        "label": name,
        "sections": [members[i].id for i in ranked],
        "known": positions,
        "agreement": agree,
    }
