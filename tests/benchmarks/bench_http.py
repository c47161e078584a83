"""Tiles over HTTP, drawn anew for each request, beside a constant 20 kB reply of the same server.

Every figure is of one run on one machine that serves and asks at once: the client, one thread
that does nothing but count bytes, takes its share of the processors. Each request has a range of
its own, so that no cache has its tile; what it drew is put into the cache, as always. Memory is
what a process has for itself (``Private_Dirty``): memory maps are shared.

Run: ``python -m tests.benchmarks.bench_http ATLAS.zarr [--workers 0 2] [--json]``.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey
from backend.core.settings import Settings
from backend.store.atlas import Atlas
from tests.benchmarks.bench_tiles import layers

ROOT = Path(__file__).resolve().parents[2]
PING = "/ping"
#: Bytes of the constant reply: those of a full tile.
PING_BYTES = 20_000
#: Different tiles that are asked for.
TILES = 400
#: A training as the worker runs one: of low priority and one thread.
TRAINING = """
import os, torch
os.nice(10)
torch.set_num_threads(1)
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256))
step = torch.optim.Adam(net.parameters())
cells = torch.randn(4096, 256)
print("training", flush=True)
while os.getppid() == PARENT:
    step.zero_grad()
    torch.nn.functional.mse_loss(net(cells), cells).backward()
    step.step()
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=4.0, help="per figure")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--serve", nargs=3, metavar=("PORT", "WORKERS", "DATA"),
                        help="be the server")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.serve:
        port, workers, data = options.serve
        serve(options.atlas, int(port), int(workers), Path(data))
        return
    atlas = Atlas.open(options.atlas)
    routes = {PING: [PING], **{str(k): urls(atlas, k) for k in layers(atlas)[:3]}}
    runs = [measure(options, workers, routes) for workers in options.workers]
    report = {"atlas": atlas.name, "n_cells": atlas.n_cells, "cores": os.cpu_count(), "runs": runs}
    sys.stdout.write((json.dumps(report, indent=1) if options.json else table(report)) + "\n")


def serve(atlas: Path, port: int, workers: int, data: Path) -> None:
    """Serve what ``app.py`` serves, and a constant reply."""
    from flask import Response

    from backend.http import create_server
    from backend.http.serving import serve_alone, serve_many
    from backend.service import Backend
    from explorer import create_explorer

    reply = os.urandom(PING_BYTES)

    def make() -> Any:
        settings = Settings(data=data)
        backend = Backend(settings, atlas)
        backend.planes.main.renderer.warm()
        server = create_server(backend, settings)
        server.add_url_rule(PING, view_func=lambda: Response(reply, mimetype="image/png"))
        return create_explorer(server, backend).server

    if workers:
        serve_many(make, "127.0.0.1", port, workers)
    else:
        serve_alone(make(), "127.0.0.1", port)


def measure(
    options: argparse.Namespace, workers: int, routes: dict[str, list[str]]
) -> dict[str, Any]:
    """Return all figures of one way to serve."""
    fresh = count()
    with tempfile.TemporaryDirectory() as data, served(options.atlas, workers, data) as (port, pid):
        for paths in routes.values():  # what is made once per layer is not part of a tile
            ask(port, 8, 1.0, paths, fresh)
        figures = [
            {"route": name, "clients": clients, **ask(port, clients, options.seconds, paths, fresh)}
            for name, paths in routes.items()
            for clients in options.clients
        ]
        memory = [private_megabytes(one) for one in (children(pid) if workers else [pid])]
        during = []
        with training():
            for name, paths in routes.items():
                found = ask(port, 8, options.seconds, paths, fresh)
                during.append({"route": name, "clients": 8, **found})
    return {
        "workers": workers,
        "figures": figures,
        "private_mb_per_process": memory,
        "while_training": during,
    }


@contextmanager
def served(atlas: Path, workers: int, data: str) -> Iterator[tuple[int, int]]:
    """Start a server on a free port of this machine; stop it whatever happens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.benchmarks.bench_http", str(atlas.resolve())]
    process = subprocess.Popen([*command, "--serve", str(port), str(workers), data], cwd=ROOT)
    try:
        wait_for(port, process)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        try:
            if ask(port, 1, 0.01, [PING], count())["requests"]:
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not start")


@contextmanager
def training() -> Iterator[None]:
    """Train a small network meanwhile."""
    code = TRAINING.replace("PARENT", str(os.getpid()))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def urls(atlas: Atlas, key: LayerKey) -> list[str]:
    """Return tiles under random cells, over all zooms from the whole atlas to single cells."""
    rng = np.random.default_rng(0)
    sections = atlas.sections()
    share = np.array([s.n_cells for s in sections], dtype=float)
    found = []
    for i in range(TILES):
        info = sections[int(rng.choice(len(sections), p=share / share.sum()))]
        row = info.first + int(rng.integers(info.n_cells))
        side = atlas.world_um / (1 << info.slot.level)
        xy = np.asarray(atlas.xy[row : row + 1])[0] - info.origin + np.array(info.slot[1:]) * side
        zoom = i % (info.slot.level + 7)
        x, y = (xy / atlas.world_um * (1 << zoom)).astype(int).tolist()
        z, x, y = TileAddress(zoom, x, y).checked()
        found.append(f"/tiles/atlas/{key}/{z}/{x}/{y}.png?palette=ink-light&lo=0&hi=2.")
    return found


class Client:
    """One kept-alive connection that asks, counts the bytes of the answer, and asks again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wanted, self._head, self._asked = -1, b"", 0.0
        self.status = b""

    def ask(self, path: str) -> None:
        """Send a request."""
        self._wanted, self._head, self._asked = -1, b"", time.perf_counter()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    def read(self) -> float | None:
        """Read what has come; return the seconds since the request once the answer is whole."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed a connection")
        if self._wanted < 0:
            self._head += data
            head, found, body = self._head.partition(b"\r\n\r\n")
            if not found:
                return None
            self.status = head[9:12]
            length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            self._wanted = int(length) - len(body)
        else:
            self._wanted -= len(data)
        return time.perf_counter() - self._asked if self._wanted <= 0 else None


def ask(
    port: int, clients: int, seconds: float, paths: list[str], fresh: Iterator[int]
) -> dict[str, Any]:
    """Ask for ``seconds`` over so many connections, one request at a time on each."""
    poll = selectors.DefaultSelector()
    all_of_them = [Client(port) for _ in range(clients)]
    times: list[float] = []
    refused = 0
    start = time.perf_counter()
    try:
        for client in all_of_them:
            poll.register(client.socket, selectors.EVENT_READ, client)
            client.ask(url(paths, fresh))
        while (now := time.perf_counter()) < start + seconds or not times:
            if now > start + seconds + 30:
                raise RuntimeError("no answer within 30 seconds")
            for key, _ in poll.select(1.0):
                took = key.data.read()
                if took is not None:
                    if key.data.status not in (b"200", b"503"):
                        raise RuntimeError(f"answered {key.data.status.decode()}: {paths[0]}")
                    refused += key.data.status == b"503"
                    times.append(took)
                    key.data.ask(url(paths, fresh))
        spent = time.perf_counter() - start
    finally:
        poll.close()
        for client in all_of_them:
            client.socket.close()
    return {
        "requests": len(times),
        "per_second": round(len(times) / spent, 1),
        "p50_ms": round(1e3 * float(np.percentile(times, 50)), 2),
        "p95_ms": round(1e3 * float(np.percentile(times, 95)), 2),
        "refused": refused,
    }


def url(paths: list[str], fresh: Iterator[int]) -> str:
    """Return the next path; a tile's range ends with a number that was not asked for before."""
    i = next(fresh)
    path = paths[i % len(paths)]
    return f"{path}{i:09d}" if path.endswith(".") else path


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def private_megabytes(process: int) -> float:
    """Return the memory that a process has for itself."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    found = next(line for line in lines if line.startswith("Private_Dirty"))
    return round(int(found.split()[1]) / 1024, 1)


def table(report: dict[str, Any]) -> str:
    """Return all figures as text."""
    lines = [f"{report['atlas']}, {report['n_cells']:,} cells, {report['cores']} cores"]
    for run in report["runs"]:
        memory = ", ".join(f"{m:.0f}" for m in run["private_mb_per_process"])
        lines.append(f"\n--workers {run['workers']}; private memory per process: {memory} MB")
        lines.append(f"{'route':34s}{'clients':>8s}{'req/s':>9s}{'p50 ms':>9s}{'p95 ms':>9s}"
                     f"{'refused':>9s}")  # fmt: skip
        shown = [(f["route"], f) for f in run["figures"]]
        shown += [(f"{f['route']} (training)", f) for f in run["while_training"]]
        lines += [
            f"{name[:33]:34s}{f['clients']:8d}{f['per_second']:9.0f}{f['p50_ms']:9.2f}"
            f"{f['p95_ms']:9.2f}{f['refused']:9d}"
            for name, f in shown
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
