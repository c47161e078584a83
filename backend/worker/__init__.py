"""The worker: the process that computes what the web process only asks for."""

from backend.worker.consumer import run_worker

__all__ = ["run_worker"]
