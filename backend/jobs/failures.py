"""What a stranger may read of a failure that no one foresaw."""

from __future__ import annotations

import secrets

from backend.core.errors import AtlasError


def internal(error: Exception) -> dict[str, object]:
    """Return what a stranger may know of an error of ours."""
    if isinstance(error, MemoryError):
        return AtlasError(
            "The job needs more memory than the worker has.", "Try a smaller section."
        ).as_json() | {"error": "OutOfMemory"}
    mark = secrets.token_hex(4)
    return {
        "error": "InternalError",
        "message": f"The job failed for a reason of ours (id {mark}). Nothing was written.",
        "hint": ["Try again; if it fails again, report the id."],
    }


def died(attempts: int) -> dict[str, object]:
    """Return what is said of a job whose worker stopped time and again."""
    return {
        "error": "WorkerStopped",
        "message": f"The worker stopped {attempts} times while running this job.",
        "hint": ["It may need more memory than there is; try a smaller section."],
    }
