"""A process of threads as gunicorn runs it, whose connections cost a thread only when they ask."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

from backend.http.gate import Gate

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Seconds that a connection is kept on which nothing was asked yet.
UNUSED = 5.0
#: Seconds, and bytes, until a client that was answered for the last time must have closed.
LEAVING, LEAVING_BYTES = 2.0, 65536


class Threads(ThreadWorker):
    """Gunicorn's threaded worker, with two differences and a count.

    A new connection gets a thread when it has something to say: browsers open some that they may
    never use, and each would hold one of the few threads for five seconds. A connection that ends
    is waited for beside the others: gunicorn waits up to two seconds for each, and no other
    request begins meanwhile. The count of waiting requests is for the gate.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting = 0
        self._lock = threading.Lock()

    def load_wsgi(self) -> None:
        """Make the application and put the gate before it."""
        super().load_wsgi()
        self.wsgi: WSGIApplication = Gate(self.app.wsgi(), self.waiting)

    def waiting(self) -> int:
        """Return how many connections with a request wait for a thread."""
        return self._waiting

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to a thread, once there is a request on it."""
        if getattr(conn, "leaving", 0):
            self._see_off(conn)
        elif not (conn.initialized or conn.data_ready):
            self._park(conn, UNUSED)
        else:
            with self._lock:
                self._waiting += 1
            super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Answer the request of a connection; runs in a thread."""
        with self._lock:
            self._waiting -= 1
        return super().handle(conn)

    def finish_request(self, conn: Any, future: Future[Any]) -> None:
        """Keep a connection for its next request, or let its client close it."""
        if future.cancelled() or future.exception() or future.result():
            super().finish_request(conn, future)
            return
        conn.leaving = 1
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
        self._park(conn, LEAVING)

    def _park(self, conn: Any, seconds: float) -> None:
        """Wait for a connection to become readable, holding no thread."""
        conn.timeout = time.monotonic() + seconds
        try:
            conn.sock.setblocking(False)
            callback = partial(self.on_pending_socket_readable, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, callback)
        except (OSError, ValueError):
            self._drop(conn)
        else:
            self.pending_conns.append(conn)

    def _see_off(self, conn: Any) -> None:
        """Read what an answered client still sends: closing on it would take back the answer."""
        try:
            data = conn.sock.recv(LEAVING_BYTES)
        except OSError:
            data = b""
        conn.leaving += len(data)
        if data and conn.leaving <= LEAVING_BYTES:
            self._park(conn, LEAVING)
        else:
            self._drop(conn)

    def _drop(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()
