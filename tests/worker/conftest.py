"""The trained atlas of the runs, used here too."""

from tests.runs.conftest import trained

__all__ = ["trained"]
