"""Answers: the one shape of errors, the one table of statuses, JSON that every browser reads."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from flask import Response, request
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed

from backend.core import errors
from backend.intake.uploads import Incomplete, WrongOffset
from backend.jobs.queue import NotFinished

#: Status of each class of error; a class not named here has that of its nearest base.
STATUS: dict[type[BaseException], int] = {
    errors.UnknownSection: 404,
    errors.UnknownGene: 404,
    errors.UnknownLayer: 404,
    errors.UnknownCell: 404,
    errors.UnknownJob: 404,
    errors.UnknownUpload: 404,
    errors.TileOutOfRange: 404,
    errors.BadRequest: 400,
    WrongOffset: 409,
    Incomplete: 409,
    NotFinished: 409,
    errors.Cancelled: 409,
    errors.StoreExists: 409,
    errors.TooLarge: 413,
    errors.TooFewCells: 422,
    errors.NoSharedGenes: 422,
    errors.NoSpatialSignal: 422,
    errors.BadFile: 422,
    errors.Diverged: 422,
    errors.OutOfMemory: 507,
    errors.QuotaExceeded: 429,
    errors.BadStore: 500,
    errors.BadCheckpoint: 500,
    errors.AtlasError: 500,
}
#: Seconds after which a refused session may ask again.
RETRY_SECONDS = 30


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def error_answer(error: errors.AtlasError) -> Response:
    """Return the answer to a request that failed in a way a person can read."""
    status = status_of(error)
    answer = json_answer(error.as_json(), status)
    if status == 429:
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def http_error_answer(error: HTTPException) -> Response:
    """Return an error of the web framework in our one shape."""
    status = error.code or 500
    message = error.description or error.name
    hint: list[str] = []
    if isinstance(error, InternalServerError):
        mark = secrets.token_hex(4)
        message = f"The server failed for a reason of ours (id {mark})."
        hint = ["Try again; if it fails again, report the id."]
    name = error.name.title().replace(" ", "").replace("'", "")
    answer = json_answer({"error": name, "message": message, "hint": hint}, status)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(error.valid_methods)
    return answer


def json_answer(value: Any, status: int = 200) -> Response:
    """Return a JSON answer that is asked for anew each time."""
    answer = Response(to_json(value), status, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def tagged_answer(value: Any) -> Response:
    """Return a JSON answer that the browser keeps and asks about: 304 while it is the same."""
    body = to_json(value)
    answer = Response(body, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-cache"
    answer.set_etag(hashlib.sha256(body.encode()).hexdigest()[:32])
    answer.make_conditional(request.environ)
    return answer


def to_json(value: Any) -> str:
    """Return strict JSON: numbers that are not finite become null."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return _finite(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _finite(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
