"""Serving an application: by one process of threads, or by several behind one port.

One process is waitress. Several are gunicorn: each opens the atlas for itself, by memory map, so
that its bytes lie in memory once for all.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from waitress.server import create_server
from waitress.task import ThreadedTaskDispatcher

from backend.http.gate import Gate

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Threads of the one process; a browser opens about six connections.
THREADS_ALONE = 8
#: Threads of each of several processes.
THREADS = 4
#: Connections of one process, idle ones too; others wait in the system's queue, or are refused.
CONNECTIONS = 512
BACKLOG = 512
#: Seconds that an unused connection is kept: a reader moves the map now and then.
KEPT_ALIVE = 15
#: Seconds in which requests under way end when the server is stopped.
GRACE = 10
#: Seconds without a sign of life after which a process is replaced.
SILENT = 120
#: Bytes of a request's first line: a tile may list hundreds of classes.
LINE_BYTES = 8190


def serve_alone(application: WSGIApplication, host: str, port: int) -> None:
    """Answer requests in this process until it is interrupted or told to end."""
    threads = ThreadedTaskDispatcher()
    threads.set_thread_count(THREADS_ALONE)
    server = create_server(
        Gate(application, lambda: len(threads.queue)),
        _dispatcher=threads,
        host=host,
        port=port,
        connection_limit=CONNECTIONS,
        backlog=BACKLOG,
        # Reads ahead, and so learns while a request waits that its client has left.
        channel_request_lookahead=1,
        clear_untrusted_proxy_headers=True,
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.run()
    finally:
        server.close()


def serve_many(
    make: Callable[[], WSGIApplication],
    host: str,
    port: int,
    workers: int,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests by several processes; ends by ``SystemExit`` when told to.

    Parameters
    ----------
    make : callable () -> WSGI application
        Called once in each process, after it was forked: opens the atlas, warms the kernels.
    host, port
    workers : int
        Processes, of 4 threads each.
    ready : callable
        Called once the port is open.
    """
    # What was imported so far stays shared: the collector would otherwise write to every page.
    gc.collect()
    gc.freeze()
    Processes(make, settings_of(host, port, workers, ready)).run()


def settings_of(
    host: str, port: int, workers: int, ready: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return the settings of gunicorn."""
    address = f"[{host}]" if ":" in host else host
    return {
        "bind": f"{address}:{port}",
        "workers": workers,
        "worker_class": "backend.http.threads.Threads",
        "threads": THREADS,
        "worker_connections": CONNECTIONS,
        "backlog": BACKLOG,
        "keepalive": KEPT_ALIVE,
        "graceful_timeout": GRACE,
        "timeout": SILENT,
        "limit_request_line": LINE_BYTES,
        "loglevel": "warning",
        "proc_name": "molecular-atlas",
        # Signs of life are written to a file; never to a slow disk.
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,
        "forwarded_allow_ips": "",
        "control_socket_disable": True,
        "when_ready": lambda _: ready(),
    }


class Processes(BaseApplication):
    """What gunicorn runs: settings, and how each process makes its application."""

    def __init__(self, make: Callable[[], WSGIApplication], settings: dict[str, Any]) -> None:
        self._make = make
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Take over the settings."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Return the application of one process."""
        return self._make()
