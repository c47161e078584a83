"""Tiles over HTTP for the bench: a server of its own, and clients that only count bytes.

Each request has a range of its own, so that no cache has its tile. The floor is a constant reply
of 20 kB: a route of the same server's web framework. ``python -m backend.cli.bench_http ATLAS PORT
WORKERS DATA`` is that server; it serves what ``app.py`` serves.
"""

from __future__ import annotations

import http.client
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PING, PING_BYTES = "/ping", 20_000
#: Statuses that a client expects; the second is a refusal.
BUSY = 503
ANSWERS = (200, BUSY)


def serve(atlas: Path, port: int, workers: int, data: Path) -> None:
    """Serve the atlas with all pages, and a constant reply, until told to end."""
    from flask import Response

    from backend.core.settings import Settings
    from backend.http import create_server
    from backend.http.serving import serve_alone, serve_many
    from backend.service import Backend
    from backend.tiles.warm import warm_kernels
    from explorer import create_explorer

    reply = os.urandom(PING_BYTES)
    warm_kernels()

    def make() -> Any:
        settings = Settings(data=data)
        backend = Backend(settings, atlas)
        server = create_server(backend, settings)
        server.add_url_rule(PING, view_func=lambda: Response(reply, mimetype="image/png"))
        pages: Any = create_explorer(server, backend).server
        pages.test_client().get("/healthz")
        return pages

    if workers:
        serve_many(make, "127.0.0.1", port, workers)
    else:
        serve_alone(make(), "127.0.0.1", port)


@contextmanager
def served(atlas: Path, workers: int, data: str) -> Iterator[tuple[int, int]]:
    """Start a server on a free port of this machine; give (port, process id); stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    arguments = [str(atlas.resolve()), str(port), str(workers), data]
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-m", "backend.cli.bench_http", *arguments],
                               cwd=root)  # fmt: skip
    try:
        _wait(port, process)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Client:
    """One kept-alive connection that asks, counts the bytes of the answer, and asks again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wanted, self._head, self._asked, self._path = -1, b"", 0.0, ""
        self.status = 0

    def ask(self, path: str) -> None:
        """Send a request."""
        self._wanted, self._head, self._path = -1, b"", path
        self._asked = time.perf_counter()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def read(self) -> float | None:
        """Read what has come; return the milliseconds since the request once all of it has."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError(f"the server closed a connection: {self._path}")
        if self._wanted < 0:
            self._head += data
            head, found, body = self._head.partition(b"\r\n\r\n")
            if not found:
                return None
            self.status = int(head[9:12])
            if self.status not in ANSWERS:
                raise RuntimeError(f"{self._path} was answered {self.status}")
            length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            self._wanted = int(length) - len(body)
        else:
            self._wanted -= len(data)
        return 1e3 * (time.perf_counter() - self._asked) if self._wanted <= 0 else None


class Asked(NamedTuple):
    """Milliseconds of the requests that were answered, and how many were refused."""

    times: list[float]
    refused: int


def ask(port: int, clients: int, paths: Iterable[str], seconds: float = 60.0) -> Asked:
    """Ask for paths over so many connections, one at a time on each."""
    left = iter(paths)
    poll = selectors.DefaultSelector()
    connections = [Client(port) for _ in range(clients)]
    times: list[float] = []
    refused = 0
    end = time.perf_counter() + seconds
    try:
        for client, path in zip(connections, islice(left, clients), strict=False):
            poll.register(client.socket, selectors.EVENT_READ, client)
            client.ask(path)
        while poll.get_map():
            for key, _ in poll.select(60.0):
                took = key.data.read()
                if took is None:
                    continue
                if key.data.status == BUSY:
                    refused += 1
                else:
                    times.append(took)
                following = next(left, None) if time.perf_counter() < end else None
                if following is None:
                    poll.unregister(key.fileobj)
                else:
                    key.data.ask(following)
    finally:
        poll.close()
        for client in connections:
            client.socket.close()
    return Asked(times, refused)


def rate(port: int, clients: int, paths: list[str], seconds: float) -> dict[str, float]:
    """Return answers per second, median and 95th percentile of milliseconds, refusals."""
    fresh = count(int(time.time_ns() // 1000) % 10**9)
    endless = (_fresh(paths[i % len(paths)], next(fresh)) for i in count())
    start = time.perf_counter()
    times, refused = ask(port, clients, endless, seconds)
    spent = time.perf_counter() - start
    return {
        "per_second": len(times) / spent,
        "p50_ms": float(np.percentile(times, 50)),
        "p95_ms": float(np.percentile(times, 95)),
        "refused": refused,
    }


def cache_control(port: int, path: str) -> str:
    """Return for how long a browser may keep an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().getheader("Cache-Control", "")
    finally:
        connection.close()


def private_megabytes(process: int) -> list[float]:
    """Return the memory that a server has for itself, or each of its workers; maps are shared."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text("ascii")
        every = [int(child) for child in text.split()] or [process]
        rolls = [Path(f"/proc/{one}/smaps_rollup").read_text("ascii") for one in every]
    except OSError:
        return []  # only Linux tells
    return [int(r.split("Private_Dirty:")[1].split()[0]) / 1024 for r in rolls]


def _fresh(path: str, number: int) -> str:
    return path if path == PING else f"{path}&lo=0&hi=2.{number:010d}"


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        try:
            if ask(port, 1, [PING]).times:
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not start")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
