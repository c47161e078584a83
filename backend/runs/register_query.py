"""Place an annotated upload in the space of its atlas; or the sections that have no place yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.runs.register import register_atlas
from backend.runs.register_labels import Hint
from backend.runs.register_record import reference_of
from backend.store.atlas import Atlas
from backend.store.space import read_space, read_volume


def register_query(
    atlas_path: Path | str, query_path: Path | str, ctx: RunContext | None = None, seed: int = 0
) -> dict[str, Any]:
    """Write common coordinates into the atlas of an annotated upload.

    Parameters
    ----------
    atlas_path : Path
        The atlas that it was mapped into; the reference that it keeps is used.
    query_path : Path
        Atlas of the upload, as ``write_query_atlas`` wrote it.
    ctx : RunContext, optional
    seed : int

    Returns
    -------
    dict
        As ``register_atlas``.

    Raises
    ------
    BadRequest
        If the atlas keeps no reference.

    Notes
    -----
    An upload does not say how it was cut: it is taken to lie in the plane of its most similar
    section of the atlas, or of most sections where that has no place; the record says which. A
    small one is looked for where windows of its nearest section's data set lie.
    """
    atlas = Atlas.open(atlas_path)
    volume = read_volume(atlas)
    if volume is None:
        raise BadRequest(
            f"Atlas '{atlas.name}' keeps no reference brain.",
            "Register it once: python -m backend register ATLAS.zarr --reference DIR",
        )
    space = read_space(atlas)
    records = {} if space is None else space.records
    planes = Counter(r["plane"] for r in records.values() if r["status"] == "registered")
    hints: dict[str, Hint] = {}
    sets = {info.id: info.dataset for info in atlas.sections()}
    for info in Atlas.open(query_path).sections():
        like = sets.get(info.parent, "")
        nearest = records.get(info.parent, {})
        if nearest.get("status") == "registered":
            hints[info.id] = Hint(str(nearest["plane"]), f"its nearest section {info.parent}", like)
        elif planes:
            hints[info.id] = Hint(planes.most_common(1)[0][0], "most sections of the atlas", like)
    return register_atlas(query_path, reference_of(*volume), ctx, hints=hints, seed=seed)


def register_missing(
    atlas_path: Path | str,
    sections: Sequence[str],
    ctx: RunContext | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Register those of the sections (all if none are named) that have no place yet.

    Those that have one keep it: it may have been corrected by hand.

    Raises
    ------
    BadRequest
        If all have one.
    """
    atlas = Atlas.open(atlas_path)
    space = read_space(atlas)
    placed = {
        s for s, r in ({} if space is None else space.records).items() if
        r["status"] == "registered"
    }  # fmt: skip
    wanted = [s for s in sections or [i.id for i in atlas.sections()] if s not in placed]
    if not wanted:
        raise BadRequest("All these sections have a place.", "Correct one by the command line.")
    return register_atlas(atlas_path, None, ctx, sections=wanted, seed=seed)
