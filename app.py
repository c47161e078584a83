"""The web process: settings, backend, explorer, serve.

``python app.py`` opens the demo atlas and makes it on first start; ``--atlas`` opens another.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from backend.core.errors import AtlasError, BadStore, PortInUse
from backend.core.settings import Settings

#: Threads that answer requests; a browser opens about six connections.
THREADS = 8


def main(argv: list[str] | None = None) -> int:
    """Serve an atlas until stopped; return the exit status."""
    args = _arguments(argv)
    settings = Settings.from_environment()
    if args.data:
        settings = replace(settings, data=args.data)
    try:
        _require_free(args.host, args.port)
        atlas = args.atlas or _demo_atlas(settings)
        serve(settings, atlas, args.checkpoint, args.host, args.port)
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
    parser.add_argument("--atlas", type=Path, help="atlas to open; the simulated demo if unset")
    parser.add_argument("--checkpoint", type=Path, help="model for uploads; NAME.ckpt beside it")
    parser.add_argument("--data", type=Path, help="folder of atlases, uploads, results and jobs")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8050)
    return parser.parse_args(argv)


def serve(settings: Settings, atlas: Path, checkpoint: Path | None, host: str, port: int) -> None:
    """Open the atlas, start a worker beside the web process and answer requests."""
    # Heavy imports wait until the arguments are known to be good.
    from waitress import serve as answer

    from backend.http import create_server
    from backend.service import Backend
    from backend.service.backend import default_checkpoint
    from backend.worker.process import start_worker
    from explorer import create_explorer

    if not atlas.exists():
        raise BadStore(f"There is no atlas at '{atlas}'.", "Build one: python -m backend build.")
    checkpoint = checkpoint or default_checkpoint(atlas)
    query = atlas.with_name(f"{atlas.stem}_query.h5ad")
    backend = Backend(settings, atlas, checkpoint, query if query.is_file() else None)
    server = create_server(backend, settings)
    explorer = create_explorer(server, backend)
    worker = start_worker(settings, atlas, checkpoint)
    try:
        info = backend.atlas_info()
        _say(f"{info['name']}: {info['n_cells']:,} cells in {info['n_sections']} sections.")
        _say(f"Open http://{host}:{port}/ in a browser. Stop with Ctrl C.")
        answer(
            explorer.server,
            host=host,
            port=port,
            threads=THREADS,
            clear_untrusted_proxy_headers=True,
        )
    finally:
        worker.terminate()
        worker.wait(timeout=10)


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
        _backend("train", "fusemap", atlas, "-o", checkpoint)
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
