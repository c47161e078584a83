"""The desk: what people sent, what they asked the worker for, and what came of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from backend.analysis.ligands_table import list_tables
from backend.core.errors import UnknownJob
from backend.core.job import Job
from backend.core.settings import Settings
from backend.intake.attached import attach_image
from backend.intake.check import Preflight, modalities, preflight, preview
from backend.intake.linked import linked
from backend.intake.uploads import Uploads
from backend.jobs.queue import RECORD, JobQueue, NotFinished
from backend.service.planes import Planes, result_of
from backend.service.spots import SPOTS, refuse_spots, spot_sections, spots_card, spots_overlay

_ROOT = Path(__file__).resolve().parents[2]


class Desk:
    """Uploads, jobs and their results.

    Parameters
    ----------
    settings : Settings
    planes : Planes
        The atlas, and the atlases of results.
    checkpoint : Path or None
        Checkpoint folder that annotates uploads against the atlas.
    jobs : JobQueue
    """

    def __init__(
        self, settings: Settings, planes: Planes, checkpoint: Path | None, jobs: JobQueue
    ) -> None:
        self.settings = settings
        self.planes = planes
        self.checkpoint = checkpoint
        self.jobs = jobs
        self.uploads = Uploads(settings)
        self._spots_of = lru_cache(maxsize=2)(self._find_spots)
        # A result never changes; its folder is named after its job.
        self._results = lru_cache(maxsize=8)(_read_json)

    def preflight(self, upload: str, owner: str) -> Preflight:
        """Return what was found in a finished upload, all problems at once."""
        record = self.uploads.get(upload, owner)
        table = self.planes.main.atlas.genes
        path = self.uploads.path(upload, owner)
        return preflight(path, record.name, table, self.settings.limits)

    def preview(self, upload: str, owner: str) -> dict[str, Any]:
        """Return a sample of the positions and the genes per cell of a finished upload."""
        return preview(self.uploads.path(upload, owner))

    def demo_modalities(self) -> Path:
        """Return a simulated multi-omics section, made when it is first asked for."""
        path = self.settings.data / "cache" / "simulated_section.h5ad"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            # In a process of its own: writing .h5ad loads what no tile needs.
            command = [sys.executable, "-m", "backend.demo.multiomics", str(path.resolve())]
            subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
        return path

    def modalities(self, uploads: Sequence[str], owner: str) -> dict[str, Any]:
        """Return what the finished uploads of one section hold, and all that is wrong with them."""
        named = self.uploads.named(uploads, owner)
        with linked(named) as paths:
            return modalities(paths, self.settings.limits)

    def spot_sections(self) -> list[dict[str, Any]]:
        """Return the sections of the atlas that are spots and can be enhanced."""
        return self._spots_of(self.planes.main.atlas.edition)

    def _find_spots(self, edition: str) -> list[dict[str, Any]]:
        return spot_sections(self.planes.main.atlas)

    def attach_image(self, upload: str, image: str, owner: str) -> dict[str, Any]:
        """Put an uploaded image beside an uploaded section; see ``intake.attached``."""
        found = attach_image(self.uploads, upload, image, owner)
        (self.uploads.path(upload, owner).with_name(SPOTS)).unlink(missing_ok=True)
        return found

    def spots(self, upload: str, owner: str) -> dict[str, Any]:
        """Return what a finished upload of spots holds and how its image fits."""
        card = spots_card(self.uploads, upload, owner, self.settings.limits)
        return {**card, "network": self.settings.image_weights.is_file()}

    def spots_usable(self, upload: str, owner: str) -> None:
        """Raise BadFile if a finished upload cannot be enhanced."""
        refuse_spots(self.uploads.get(upload, owner).name, self.spots(upload, owner))

    def spots_overlay(self, upload: str, section: str, owner: str) -> Path:
        """Return a picture of an upload's image with the spots of a section over it."""
        self.spots_usable(upload, owner)
        return spots_overlay(self.uploads, upload, section, owner)

    def underlay(self, job_id: str) -> Path:
        """Return the image of the tissue of a result, in the coordinates of its section."""
        path = self.jobs.result_file(job_id, "json").with_name("underlay.jpg")
        if not path.is_file():
            raise UnknownJob("This result has no image.", "It was made without one.")
        return path

    def submit(
        self,
        model: str,
        verb: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        owner: str,
    ) -> Job:
        """Queue a run; the same data, parameters and checkpoint give the same job."""
        # An upload is known by what it holds, not by the id of this sending.
        identity = {k: v for k, v in inputs.items() if k not in ("upload", "uploads")}
        identity["checkpoint"] = _fingerprint(self.checkpoint)
        return self.jobs.submit(model, verb, params, inputs, owner, identity)

    def result(self, job_id: str) -> dict[str, Any]:
        """Return what a finished job wrote for programs.

        Raises
        ------
        UnknownJob, NotFinished
        """
        return self._results(self.jobs.result_file(job_id, "json"))

    def record(self, job_id: str) -> dict[str, Any]:
        """Return what a finished job was asked and found, with its figures.

        Raises
        ------
        UnknownJob, NotFinished
        """
        return self._results(self.jobs.result_file(job_id, "json").with_name(RECORD))

    def origin(self, section: str) -> dict[str, Any]:
        """Return the model, the verb and the inputs that made a section; empty where unknown.

        Parameters
        ----------
        section : str
            ``query-<job>`` or ``query-<job>.<k>``.
        """
        try:
            record = self.record(result_of(section)[0])
        except (UnknownJob, NotFinished):
            return {}
        return {name: record[name] for name in ("model", "verb", "inputs") if name in record}

    def pair_tables(self) -> list[str]:
        """Return the names of the tables of ligands and receptors that this server offers."""
        return list_tables(self.settings.pairs)


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _fingerprint(checkpoint: Path | None) -> str:
    """Return what tells one checkpoint from another: its card names the weights by their hash."""
    card = None if checkpoint is None else checkpoint / "card.json"
    if card is None or not card.is_file():
        return ""
    return hashlib.sha256(card.read_bytes()).hexdigest()
