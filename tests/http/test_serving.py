"""Several processes behind one port: all answer, a full house refuses, all end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tiny import tiny_atlas

ROOT = Path(__file__).resolve().parents[2]
#: An application that names its process, after a moment of work.
NAMES_ITSELF = """
import os, sys, time
from backend.http.serving import serve_many

def make():
    def application(environ, start_response):
        time.sleep(0.05)
        name = str(os.getpid()).encode()
        start_response("200 OK", [("Content-Length", str(len(name)))])
        return [name]
    return application

serve_many(make, "127.0.0.1", int(sys.argv[1]), int(sys.argv[2]))
"""
#: An application that counts the tiles it works on, and tells on any other path.
COUNTS_TILES = """
import sys, time
from backend.http.serving import serve_alone, serve_many

drawn = []

def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/tiles/"):
        drawn.append(1)
        time.sleep(0.1)
    body = str(len(drawn)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

port, workers = int(sys.argv[1]), int(sys.argv[2])
if workers:
    serve_many(lambda: application, "127.0.0.1", port, workers)
else:
    serve_alone(application, "127.0.0.1", port)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(port: int, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a server of one's own, wait until it answers, and leave nothing behind."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: process.poll() is not None or answers(port))
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def until(done: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.1)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def asked_at_once(port: int, path: str, count: int) -> list[bytes]:
    """Return the answers to requests that are all sent before any answer is read."""
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(count)]
    try:
        for one in sockets:
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return [b"".join(iter(lambda one=one: one.recv(65536), b"")) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def gone(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


def test_every_process_answers_and_all_of_them_end() -> None:
    port = free_port()
    seen: set[int] = set()

    def both_answered() -> bool:
        found = asked_at_once(port, "/", 16)
        seen.update(int(answer.rpartition(b"\r\n")[2]) for answer in found)
        return len(seen) == 2

    with started(port, "-c", NAMES_ITSELF, str(port), "2") as process:
        until(both_answered)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        until(lambda: all(gone(one) for one in seen))


def test_above_its_capacity_the_server_refuses_tiles_and_answers_the_rest() -> None:
    port = free_port()
    with started(port, "-c", NAMES_ITSELF, str(port), "1"):
        found = asked_at_once(port, "/tiles/s1/label:type/0/0/0.png", 110)
        statuses = {answer.split(b" ", 2)[1] for answer in found}
        assert statuses == {b"200", b"503"}
        assert all(b"Retry-After: 1" in answer for answer in found if b" 503 " in answer[:20])
        assert get(port, "/tiles/s1/label:type/0/0/0.png")[0] == 200


@pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "workers"])
def test_tiles_of_a_client_that_left_while_they_waited_are_not_drawn(workers: str) -> None:
    port = free_port()
    with started(port, "-c", COUNTS_TILES, str(port), workers):
        sockets = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(40)]
        for one in sockets:
            one.sendall(b"GET /tiles/s1/label:type/0/0/0.png HTTP/1.1\r\nHost: a\r\n\r\n")
        for one in sockets:
            one.close()
        # A client that stayed is answered after all that were asked for before.
        assert get(port, "/tiles/s1/label:type/0/0/1.png")[0] == 200
        drawn = int(get(port, "/count")[1])
    # Those that no thread had begun with are passed over: there are 8 threads, or 4.
    assert 1 <= drawn <= 16


def test_the_program_serves_an_atlas_by_two_processes(tmp_path: Path) -> None:
    atlas, port = tiny_atlas(tmp_path / "tiny.zarr"), free_port()
    command = ["app.py", "--atlas", str(atlas), "--data", str(tmp_path / "data")]
    command += ["--port", str(port), "--workers", "2"]
    with started(port, *command) as process:
        # As a browser does: scripts at once, of processes that were never asked for a page.
        scripts = asked_at_once(
            port, "/_dash-component-suites/dash/dcc/dash_core_components.js", 12
        )
        assert {found[:15] for found in scripts} == {b"HTTP/1.1 200 OK"}
        info = json.loads(get(port, "/api/atlas")[1])
        url = f"/tiles/alpha/label:region/0/0/0.png?v={info['edition']}"
        tiles = asked_at_once(port, url, 12)
        assert {tile[:15] for tile in tiles} == {b"HTTP/1.1 200 OK"}
        assert len({tile.partition(b"\r\n\r\n")[2] for tile in tiles}) == 1
        health = json.loads(get(port, "/healthz")[1])
        assert health["queue"]["queued"] == 0
        second = subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert second.returncode == 2
        assert "PortInUse" in second.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert not answers(port)


@pytest.mark.parametrize("count", ["-1", "65", "two"])
def test_a_number_of_processes_that_cannot_be_meant_is_refused(count: str) -> None:
    found = subprocess.run(
        [sys.executable, "app.py", "--workers", count],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert found.returncode == 2
    assert "--workers" in found.stderr
