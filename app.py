"""The web process: settings, backend, explorer, serve.

``python app.py`` opens the demo atlas and makes it on first start; ``--atlas`` opens another.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.core.errors import AtlasError, BadStore, PortInUse
from backend.core.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

    from backend.store.place import Place

#: Most processes that answer requests.
MOST_WORKERS = 64


def main(argv: list[str] | None = None) -> int:
    """Serve an atlas until stopped; return the exit status."""
    args = _arguments(argv)
    settings = Settings.from_environment()
    if args.data:
        settings = replace(settings, data=args.data)
    try:
        _require_free(args.host, args.port)
        _keep_kernels(settings)
        atlas = _place(args.atlas) if args.atlas else _demo_atlas(settings)
        serve(settings, atlas, args.checkpoint, args.host, args.port, args.workers)
    except AtlasError as error:
        _say(f"{type(error).__name__}: {error}")
        return 2
    except KeyboardInterrupt:
        _say("Stopped.")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python app.py --atlas brain.zarr --port 8060"
    )
    parser.add_argument(
        "--atlas",
        metavar="PATH|URL",
        help="atlas to open, a folder or an address such as s3://bucket/brain.zarr; "
        "the simulated demo if unset",
    )
    parser.add_argument("--checkpoint", type=Path, help="model for uploads; NAME.ckpt beside it")
    parser.add_argument("--data", type=Path, help="folder of atlases, uploads, results and jobs")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8050)
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="web processes of 4 threads; 0: one process of 8 threads (default)",
    )
    args = parser.parse_args(argv)
    if not 0 <= args.workers <= MOST_WORKERS:
        parser.error(f"--workers is {args.workers}; give 0 to {MOST_WORKERS}.")
    return args


def serve(
    settings: Settings,
    atlas: Place,
    checkpoint: Path | None,
    host: str,
    port: int,
    workers: int = 0,
) -> None:
    """Open the atlas, start a worker beside the web processes and answer requests."""
    # Heavy imports wait until the arguments are known to be good.
    from backend.http import create_server
    from backend.http.serving import serve_alone, serve_many
    from backend.http.session import signing_key
    from backend.jobs.queue import JobQueue
    from backend.service import Backend
    from backend.service.backend import default_checkpoint
    from backend.store.atlas import Atlas
    from backend.tiles.warm import warm_kernels
    from backend.worker.process import start_worker
    from explorer import create_explorer

    opened = Atlas.open(atlas)
    # Before processes part: compiled once, the kernels lie in memory once for all.
    warm_kernels()
    checkpoint = checkpoint or default_checkpoint(atlas)
    query = _query_beside(atlas)

    def make() -> Flask:
        """Open the atlas in the process that serves it; its arrays are memory maps."""
        backend = Backend(settings, atlas, checkpoint, query)
        server: Flask = create_explorer(create_server(backend, settings), backend).server
        # Dash sets itself up with its first request: a second beside it would find it half done.
        server.test_client().get("/healthz")
        return server

    def ready() -> None:
        _say(f"{opened.name}: {opened.n_cells:,} cells in {len(opened.sections())} sections.")
        _say(f"Open http://{host}:{port}/ in a browser. Stop with Ctrl C.")

    # Made here once, before several processes would.
    JobQueue(settings).close()
    signing_key(settings.data / "session.key")
    worker = start_worker(settings, atlas, checkpoint)
    try:
        if workers:
            serve_many(make, host, port, workers, ready)
        else:
            application = make()
            ready()
            serve_alone(application, host, port)
    finally:
        worker.terminate()
        worker.wait(timeout=10)


def _place(text: str) -> Place:
    """Return the folder or the place behind a URL that an argument names."""
    from backend.store.place import place_of

    return place_of(text)


def _query_beside(atlas: Place) -> Path | None:
    """Return the held-out section beside an atlas of this machine, or None."""
    if not isinstance(atlas, Path):
        return None
    query = atlas.with_name(f"{atlas.stem}_query.h5ad")
    return query if query.is_file() else None


def _keep_kernels(settings: Settings) -> None:
    """Name a folder for compiled kernels where none can lie beside the code."""
    if not os.access(Path(__file__).parent / "backend", os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.data.resolve() / "cache" / "numba"))


def _demo_atlas(settings: Settings) -> Path:
    """Return the simulated demo atlas; make it, train on it and embed it where missing."""
    folder = settings.atlases
    folder.mkdir(parents=True, exist_ok=True)
    atlas, checkpoint = folder / "demo.zarr", folder / "demo.ckpt"
    done = folder / "demo.ready"
    if done.exists() and atlas.exists():
        return atlas
    _say("First start: making the simulated demo atlas, about two minutes.")
    if not atlas.exists():
        _backend("demo", atlas, "--query", folder / "demo_query.h5ad")
    if not (checkpoint / "card.json").exists():
        _backend("train", "fusemap", atlas, "-o", checkpoint, "--quick")
    _backend("embed", atlas, "--checkpoint", checkpoint)
    done.touch()
    return atlas


def _backend(*arguments: object) -> None:
    """Run one command in a process of its own: the web process never imports torch."""
    command = [sys.executable, "-m", "backend", *map(str, arguments)]
    status = subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode
    if status:
        raise BadStore(
            f"Making the demo atlas stopped at '{' '.join(command[2:5])}'.",
            "Start again to go on from there, or open an atlas with --atlas.",
        )


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                f"Port {port} of {host} cannot be used: {error.strerror}.",
                f"Stop the program that holds it, or choose another: --port {port + 1}.",
            ) from error


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
