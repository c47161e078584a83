"""The device that a model is asked to use."""

from __future__ import annotations

import torch

from backend.core.errors import BadRequest

#: What may be asked for.
DEVICES = ("cpu", "cuda", "auto")


def device_of(name: str) -> str:
    """Return "cpu" or "cuda"; "auto" is a GPU where there is one.

    Raises
    ------
    BadRequest
        If there is no such device here.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise BadRequest(f"There is no device '{name[:40]}'.", f"Use {', '.join(DEVICES)}.")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and not torch.cuda.is_available():
        raise BadRequest("This machine has no GPU that torch can use.", "Use cpu, or auto.")
    return name
