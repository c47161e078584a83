"""Routes of spots that are to be enhanced: their image, how it fits, the image of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, send_file

from backend.http import queries
from backend.http.answers import json_answer
from backend.http.session import owner

if TYPE_CHECKING:
    from backend.service.backend import Backend


def add_spots(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of spots with an image."""

    @routes.post("/api/uploads/<upload_id>/image")
    def attach(upload_id: str) -> Response:
        image = queries.member(queries.body(), "image", str)
        return json_answer({"image": backend.attach_image(upload_id, image, owner())})

    @routes.get("/api/uploads/<upload_id>/spots")
    def spots(upload_id: str) -> Response:
        return json_answer({"upload": upload_id, "card": backend.spots(upload_id, owner())})

    @routes.get("/api/uploads/<upload_id>/overlay.jpg")
    def overlay(upload_id: str) -> Response:
        path = backend.spots_overlay(upload_id, queries.text("section", ""), owner())
        return _private(send_file(path.resolve(), mimetype="image/jpeg", max_age=0))

    @routes.get("/api/results/<job_id>/underlay.jpg")
    def underlay(job_id: str) -> Response:
        path = backend.underlay(job_id)
        return _private(send_file(path.resolve(), mimetype="image/jpeg", max_age=3600))


def inputs_of_spots(backend: Backend, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a job on an uploaded file of spots, with or without an image.

    Raises
    ------
    BadFile
        With all that is wrong with the file.
    """
    upload_id = queries.member(asked, "spots", str)
    backend.spots_usable(upload_id, owner())
    upload = backend.uploads.touch(upload_id, owner())
    image = backend.uploads.recall(upload_id, "picture") or {}
    return {
        "upload": upload.id,
        "name": upload.name,
        "sha256": upload.sha256,
        "image": image.get("name"),
        "image_sha256": image.get("sha256"),
    }


def _private(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "private, max-age=3600"
    return answer
