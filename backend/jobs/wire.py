"""Messages of the queue as JSON: nothing that travels through it can run code when read."""

from __future__ import annotations

import json
from typing import Any

from huey.registry import Message
from huey.serializer import Serializer


class JsonSerializer(Serializer):  # type: ignore[misc]  # huey carries no types
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
