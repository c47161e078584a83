"""The one object that the explorer and the HTTP routes talk to."""

from backend.service.backend import Backend

__all__ = ["Backend"]
