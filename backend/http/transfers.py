"""Routes that take and give files: uploads, jobs, results, selections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request, send_file

from backend.core.errors import BadRequest, TooLarge, UnknownJob, UnknownUpload
from backend.core.job import Job
from backend.http import queries
from backend.http.answers import json_answer
from backend.http.session import owner
from backend.http.spots import inputs_of_spots
from backend.intake.findings import Preflight

if TYPE_CHECKING:
    from backend.service.backend import Backend

_TYPES = {"h5ad": "application/x-hdf5", "csv": "text/csv", "json": "application/json"}


def add_selections(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of selected cells."""

    @routes.post("/api/select")
    def select() -> Response:
        asked = queries.body()
        section = queries.member(asked, "section", str)
        return json_answer(backend.select(section, queries.member(asked, "polygon", list)))

    @routes.post("/api/compare")
    def compare() -> Response:
        asked = queries.body()
        limit = queries.member(asked, "limit", int, 50)
        a, b = queries.member(asked, "a", dict), queries.member(asked, "b", dict)
        return json_answer(backend.compare(a, b, min(max(limit, 1), 1000)))


def add_uploads(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of uploads; all of them know only the session's own."""
    uploads = backend.uploads

    @routes.post("/api/uploads")
    def create_upload() -> Response:
        asked = queries.body()
        name, size = queries.member(asked, "name", str), queries.member(asked, "size", int)
        return json_answer(uploads.create(name, size, owner()).as_json(), 201)

    @routes.post("/api/uploads/demo")
    def demo() -> Response:
        if queries.text("kind", "query") == "modalities":
            made = uploads.adopt(backend.demo_modalities(), owner())
            return json_answer({"upload": made.as_json()}, 201)
        if backend.demo_query is None:
            raise UnknownUpload("This atlas has no example file.", "Choose a file of your own.")
        upload = uploads.adopt(backend.demo_query, owner())
        return json_answer(card(backend, upload.id), 201)

    @routes.put("/api/uploads/<upload_id>")
    def append_chunk(upload_id: str) -> Response:
        limit = backend.settings.limits.chunk_bytes
        if (request.content_length or 0) > limit:
            raise TooLarge(f"A chunk has at most {limit:,} bytes.", "Send smaller chunks.")
        request.max_content_length = limit
        offset = queries.whole("offset", -1, 0, 1 << 50)
        if offset < 0:
            raise BadRequest("The parameter 'offset' is missing.", "Add ?offset=<received>.")
        return json_answer(uploads.append(upload_id, offset, request.stream, owner()).as_json())

    @routes.get("/api/uploads/<upload_id>")
    def upload_state(upload_id: str) -> Response:
        return json_answer(uploads.get(upload_id, owner()).as_json())

    @routes.delete("/api/uploads/<upload_id>")
    def delete_upload(upload_id: str) -> Response:
        uploads.delete(upload_id, owner())
        return json_answer({"deleted": True})

    @routes.post("/api/uploads/<upload_id>/finish")
    def finish(upload_id: str) -> Response:
        finished = uploads.finish(upload_id, owner())
        if queries.text("card", "preflight") == "none":
            return json_answer({"upload": finished.as_json()})
        return json_answer(card(backend, upload_id))

    @routes.post("/api/modalities")
    def modalities() -> Response:
        named = _texts(queries.body(), "uploads")
        return json_answer({"uploads": named, "card": backend.modalities(named, owner())})

    @routes.get("/api/uploads/<upload_id>/preflight")
    def preflight(upload_id: str) -> Response:
        return json_answer(card(backend, upload_id))

    @routes.get("/api/uploads/<upload_id>/preview")
    def preview(upload_id: str) -> Response:
        return json_answer(backend.preview(upload_id, owner()))


def card(backend: Backend, upload_id: str) -> dict[str, Any]:
    """Return an upload with its preflight card, looked at once per version of the atlas."""
    upload = backend.uploads.get(upload_id, owner())
    found = _preflight(backend, upload_id)
    return {"upload": upload.as_json(), "preflight": found.as_json()}


def _preflight(backend: Backend, upload_id: str) -> Preflight:
    version = backend.atlas_info()["version"]
    backend.uploads.path(upload_id, owner())
    kept = backend.uploads.recall(upload_id, "preflight")
    if kept is not None and kept["version"] == version:
        return Preflight.from_json(kept["card"])
    found = backend.preflight(upload_id, owner())
    card = {"version": version, "card": found.as_json()}
    backend.uploads.keep(upload_id, "preflight", card)
    return found


def add_jobs(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of jobs and their results."""
    jobs = backend.jobs

    @routes.post("/api/jobs")
    def submit() -> Response:
        asked = queries.body()
        inputs = _inputs(backend, queries.member(asked, "inputs", dict))
        job = backend.submit(
            queries.member(asked, "model", str),
            queries.member(asked, "verb", str),
            queries.member(asked, "params", dict, {}),
            inputs,
            owner(),
        )
        return json_answer({"job": job_json(backend, job)}, 202)

    @routes.get("/api/jobs")
    def session_jobs() -> Response:
        return json_answer({"jobs": [job_json(backend, job) for job in jobs.list(owner())]})

    @routes.get("/api/jobs/<job_id>")
    def job_state(job_id: str) -> Response:
        return json_answer({"job": job_json(backend, jobs.get(job_id))})

    @routes.delete("/api/jobs/<job_id>")
    def cancel(job_id: str) -> Response:
        jobs.get(job_id)
        if not jobs.is_owner(job_id, owner()):
            raise UnknownJob(
                "This job was started in another session.", "Cancel it where it was started."
            )
        return json_answer({"job": job_json(backend, jobs.cancel(job_id))})

    @routes.get("/api/results/<job_id>")
    def record(job_id: str) -> Response:
        return json_answer(backend.result(job_id))

    @routes.get("/api/results/<job_id>/record")
    def figures(job_id: str) -> Response:
        return json_answer(backend.record(job_id))

    @routes.get("/api/results/<job_id>/download")
    def result(job_id: str) -> Response:
        kind = queries.text("format", "h5ad")
        path = jobs.result_file(job_id, kind)
        answer = send_file(
            path.resolve(),
            mimetype=_TYPES[kind],
            as_attachment=True,
            download_name=f"{path.stem}_{job_id[:8]}.{kind}",
            max_age=0,
        )
        answer.headers["Cache-Control"] = "private, no-store"
        return answer


def _inputs(backend: Backend, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a job with all that decides its result: sha256, atlas version.

    A job is on an upload, or on sections of the atlas; the verb says which it can use.

    Raises
    ------
    BadFile
        If the upload's preflight blocks.
    UnknownSection, BadRequest
    """
    version = backend.atlas_info()["version"]
    if "upload" in asked:
        upload_id = queries.member(asked, "upload", str)
        _preflight(backend, upload_id).raise_if_blocked()
        upload = backend.uploads.touch(upload_id, owner())
        return {
            "upload": upload.id,
            "name": upload.name,
            "sha256": upload.sha256,
            "atlas_version": version,
        }
    if "spots" in asked:
        return {**inputs_of_spots(backend, asked), "atlas_version": version}
    if "uploads" in asked:
        return {**_several(backend, _texts(asked, "uploads")), "atlas_version": version}
    sections = _named_sections(backend, asked)
    return {"sections": sections, "name": _called(backend, sections), "atlas_version": version}


def _several(backend: Backend, upload_ids: list[str]) -> dict[str, Any]:
    """Return the inputs of a job on several uploads that are one section; the verb checks them."""
    backend.uploads.named(upload_ids, owner())
    uploads = [backend.uploads.touch(upload_id, owner()) for upload_id in upload_ids]
    return {
        "uploads": [u.id for u in uploads],
        "name": " and ".join(u.name for u in uploads),
        "names": [u.name for u in uploads],
        "sha256": [u.sha256 for u in uploads],
    }


def _texts(asked: dict[str, Any], name: str) -> list[str]:
    found = queries.member(asked, name, list)
    if not all(isinstance(value, str) for value in found):
        raise BadRequest(f"'{name}' is not a list of ids.", "Send them as texts.")
    return list(dict.fromkeys(found))


def _named_sections(backend: Backend, asked: dict[str, Any]) -> list[str]:
    """Return the sections that a job names: one, several, or none for all that it can use.

    Raises
    ------
    UnknownSection, BadRequest
    """
    if "section" in asked:
        named = [queries.member(asked, "section", str)]
    else:
        named = _texts(asked, "sections")
    for section in named:
        backend.section(section)
    return named


def _called(backend: Backend, sections: list[str]) -> str:
    """Return what a job on sections is called in the list of jobs."""
    if len(sections) == 1:
        return str(backend.section_entry(sections[0]).get("title") or sections[0])
    return f"{len(sections)} sections" if sections else "all sections"


def job_json(backend: Backend, job: Job) -> dict[str, Any]:
    """Return a job as its owner sees it."""
    jobs = backend.jobs
    return {
        "id": job.id,
        "model": job.model,
        "verb": job.verb,
        "params": job.params,
        "inputs": job.inputs,
        "state": job.state.value,
        "fraction": job.fraction,
        "message": job.message,
        "seconds_left": job.seconds_left,
        "position": jobs.position(job.id),
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "error": job.error,
        "result": job.result,
        "downloads": {
            kind: f"/api/results/{job.id}/download?format={kind}" for kind in jobs.files(job.id)
        },
        "deleted_after": jobs.deleted_after(job),
    }
