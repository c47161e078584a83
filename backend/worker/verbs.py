"""What the worker can do: (model, verb) -> function. Networks are loaded when one is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.worker.work import Verbs, Work


def annotate(work: Work) -> Mapping[str, Any]:
    """Annotate an upload against the atlas; see ``backend.runs``."""
    raise NotImplementedError


VERBS: Verbs = {
    ("fusemap", "annotate"): annotate,
}
