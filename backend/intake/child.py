"""The process that looks at a stranger's file: bounded memory and time, JSON in and out."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

from backend.core.settings import Limits
from backend.intake.check import MEMORY_BYTES, SECONDS, inspect
from backend.intake.glance import glance
from backend.intake.modalities import look_at_modalities
from backend.intake.spots import look_at_spots


def main(verb: str, path: Path) -> None:
    """Answer one request on standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    request = json.load(sys.stdin)
    if verb == "preview":
        answer = glance(path)
    elif verb == "modalities":
        paths = [path, *map(Path, request["more"])]
        answer = look_at_modalities(paths, Limits(**request["limits"])).as_json()
    elif verb == "spots":
        image = Path(request["image"]) if request["image"] else None
        answer = look_at_spots(path, request["filename"], image, Limits(**request["limits"]))
    else:
        genes = SimpleNamespace(symbol=request["symbol"], ensembl=request["ensembl"])
        limits = Limits(**request["limits"])
        answer = inspect(path, request["filename"], genes, limits).as_json()
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
