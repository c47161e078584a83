"""HTTP routes: requests in, one service call each, JSON or PNG or CSV out."""

from backend.http.server import create_server

__all__ = ["create_server"]
