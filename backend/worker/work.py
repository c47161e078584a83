"""One job as its verb sees it, and the folder in which its result comes to be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.core.errors import BadCheckpoint, BadRequest, UnknownSection, UnknownUpload
from backend.core.job import Job, RunContext
from backend.core.settings import Settings
from backend.jobs.queue import RECORD
from backend.jobs.wire import plain
from backend.service.planes import QUERY_PREFIX, nth_section, result_of
from backend.store.atlas import Atlas


@dataclass(frozen=True, slots=True)
class Work:
    """What a verb may use.

    Parameters
    ----------
    job : Job
    context : RunContext
        Seed, progress, cancellation.
    folder : Path
        Where to write; it becomes visible whole, once the verb has returned.
    atlas : Path
    checkpoint : Path or None
    settings : Settings
    """

    job: Job
    context: RunContext
    folder: Path
    atlas: Path
    checkpoint: Path | None
    settings: Settings

    def upload(self) -> Path:
        """Return the uploaded file of this job.

        Raises
        ------
        UnknownUpload
            If it was deleted meanwhile.
        """
        path = self.settings.uploads / str(self.job.inputs["upload"]) / "data.h5ad"
        if not path.is_file():
            raise UnknownUpload("The uploaded file was deleted.", "Send it again.")
        return path

    def uploads(self) -> list[tuple[str, Path]]:
        """Return (the client's name, the file) of each upload of a job on several.

        Raises
        ------
        BadRequest
            If the job is on sections of the atlas.
        UnknownUpload
            If one was deleted meanwhile.
        """
        ids, names = self.job.inputs.get("uploads"), self.job.inputs.get("names")
        if not ids or not names:
            raise BadRequest(f"{self.job.verb} works on uploads.", "Send inputs.uploads.")
        found = [self.settings.uploads / str(i) / "data.h5ad" for i in ids]
        if not all(path.is_file() for path in found):
            raise UnknownUpload("An uploaded file was deleted.", "Send it again.")
        return list(zip(map(str, names), found, strict=True))

    def note(self, name: str) -> dict[str, Any]:
        """Return a note kept beside the upload, such as its preflight; empty where none is."""
        path = self.upload().with_name(f"{name}.json")
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return found

    def sections(self) -> tuple[str, ...]:
        """Return the sections of the atlas that the job names; none means all it can use.

        Raises
        ------
        BadRequest
            If the job is on an upload.
        """
        named = self.job.inputs.get("sections")
        if not isinstance(named, list | tuple):
            raise BadRequest(
                f"{self.job.verb} works on sections of the atlas.", "Send inputs.sections."
            )
        return tuple(str(section) for section in named)

    def placed(self) -> Placed:
        """Return the atlas that holds the named sections: this one, or that of a result.

        Raises
        ------
        BadRequest
            If sections of the atlas and of a result, or of several results, are mixed.
        UnknownSection
            If there is no such result, or it has no such section.
        """
        named = self.sections()
        jobs = {result_of(s)[0] if s.startswith(QUERY_PREFIX) else "" for s in named}
        if len(jobs) > 1:
            raise BadRequest(
                "Sections of the atlas and of uploads cannot be taken together.",
                "Name sections of the atlas, or of one annotated upload.",
            )
        job = jobs.pop() if jobs else ""
        if not job:
            return Placed(self.atlas, named, {})
        path = self.settings.results / job / "atlas.zarr"
        if not path.is_dir():
            raise UnknownSection(
                f"There is no section '{named[0][:60]}'.", "The result was deleted; run it again."
            )
        infos = Atlas.open(path).sections()
        inner = {name: nth_section(infos, name, result_of(name)[1]) for name in named}
        return Placed(path, tuple(inner.values()), {i: name for name, i in inner.items()})

    def trained(self) -> Path:
        """Return the checkpoint.

        Raises
        ------
        BadCheckpoint
            If the worker was started without one.
        """
        if self.checkpoint is None:
            raise BadCheckpoint(
                "This atlas has no trained model.", "Train one: python -m backend train fusemap."
            )
        return self.checkpoint


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the sections of a job are.

    Parameters
    ----------
    atlas : Path
    sections : tuple of str
        Their ids in it.
    asked : mapping
        Id in the atlas of a result to the id that a person knows; empty for the atlas itself.
    """

    atlas: Path
    sections: tuple[str, ...]
    asked: Mapping[str, str]

    def named(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run found with its sections under the ids that were asked for."""
        sections = [{**s, "id": self.asked.get(s["id"], s["id"])} for s in found["sections"]]
        return {**found, "sections": sections}


Verb = Callable[[Work], Mapping[str, Any]]
Verbs = Mapping[tuple[str, str], Verb]


def make_runner(
    settings: Settings, atlas: Path, checkpoint: Path | None, verbs: Verbs
) -> Callable[[Job, RunContext], Mapping[str, Any]]:
    """Return what the queue calls for each job: find the verb, run it, publish its folder.

    ``figures`` of what the verb returns are kept in ``job.json`` only: the table is read often.
    """

    def run(job: Job, context: RunContext) -> Mapping[str, Any]:
        verb = verbs[(job.model, job.verb)]
        with published(settings.results, job.id) as folder:
            found = plain(verb(Work(job, context, folder, atlas, checkpoint, settings)))
            context.step(1.0, "Writing the result")
            record = {
                "id": job.id,
                "model": job.model,
                "verb": job.verb,
                "params": job.params,
                "inputs": job.inputs,
                "result": found,
            }
            (folder / RECORD).write_text(json.dumps(record, indent=2))
        return {name: value for name, value in found.items() if name != "figures"}

    return run


@contextmanager
def published(results: Path, job_id: str) -> Iterator[Path]:
    """Yield a folder beside the results that takes the job's place if the body succeeds."""
    beside, final = results / f"{job_id}.partial", results / job_id
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        shutil.rmtree(final, ignore_errors=True)
        beside.rename(final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
