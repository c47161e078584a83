"""Messages of the queue as JSON: nothing that travels through it can run code when read."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

from backend.core.errors import BadRequest
from backend.core.settings import Settings


class JsonSerializer(Serializer):
    """Huey's messages and values as UTF-8 JSON, where huey itself would store Python objects.

    A message keeps its id, task name and arguments; our tasks use no schedules, retries or chains.
    """

    def _serialize(self, data: Any) -> bytes:
        if isinstance(data, Message):
            data = {"id": data.id, "name": data.name, "args": list(data.args or ())}
        return json.dumps(data).encode()

    def _deserialize(self, data: bytes) -> Any:
        value = json.loads(bytes(data))
        if isinstance(value, dict) and set(value) == {"id", "name", "args"}:
            return Message(value["id"], value["name"], args=tuple(value["args"]), kwargs={})
        return value


def open_huey(settings: Settings, immediate: bool) -> Huey:
    """Return the queue that the settings name; one in memory that runs at once for tests."""
    common = {"results": False, "immediate": immediate, "serializer": JsonSerializer()}
    if settings.queue and not immediate:
        return RedisHuey("atlas", url=settings.queue, **common)
    settings.jobs.parent.mkdir(parents=True, exist_ok=True)
    return SqliteHuey("atlas", filename=str(settings.jobs), timeout=15, **common)


def json_text(value: Mapping[str, Any]) -> str:
    """Return the one spelling of a JSON value, so that equal requests have equal keys."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRequest("Parameters, inputs and results of a job must be JSON.") from error


def request_key(owner: str, model: str, verb: str, params: Any, identity: Any) -> str:
    """Return one key for all that decides a result, and who asked."""
    parts = {"by": owner, "do": [model, verb], "params": params, "on": identity}
    return hashlib.sha256(json_text(parts).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers that are not finite become None, arrays lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return value
