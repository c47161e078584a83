"""The verb that places sections in common coordinates: of the atlas, or an annotated upload."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from backend.core.errors import BadRequest
from backend.service.planes import QUERY_PREFIX
from backend.worker.work import Work


def register(work: Work) -> Mapping[str, Any]:
    """Register one annotated upload, or the sections of the atlas that have no place yet."""
    from backend.runs.register_query import register_missing, register_query

    sections = work.sections()
    queries = [s for s in sections if s.startswith(QUERY_PREFIX)]
    if queries and len(sections) > 1:
        raise BadRequest("An upload is placed by itself.", "Name it alone.")
    seed = work.context.seed
    if queries:
        path = work.settings.results / queries[0].removeprefix(QUERY_PREFIX) / "atlas.zarr"
        found = register_query(work.atlas, path, work.context, seed)
    else:
        found = register_missing(work.atlas, sections, work.context, seed)
    (work.folder / "registered.json").write_text(json.dumps(found, indent=2), "utf-8")
    status = Counter(record["status"] for record in found["sections"].values())
    return {
        "n_sections": len(found["sections"]),
        "n_registered": status["registered"],
        "n_refused": status["refused"],
        "space": found["space"],
    }
