"""A served demo atlas and a browser whose console must stay silent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.steps import COUNT_REQUESTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "tests" / "artefacts"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass(frozen=True)
class Site:
    """A running atlas."""

    url: str
    folder: Path
    query: Path
    log: Path
    pid: int

    @contextmanager
    def paused_worker(self) -> Iterator[None]:
        """Hold the compute processes, so that a job stays where a person can still act on it."""
        workers = [p for p in _descendants(self.pid) if b"worker" in _command(p)]
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)


def _descendants(parent: int) -> list[int]:
    """Return children and theirs: the worker of a site forks the processes that take jobs."""
    return [pid for child in _children(parent) for pid in (child, *_descendants(child))]


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue  # it ended meanwhile
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""  # it ended meanwhile


def run_backend(*arguments: object) -> None:
    command = [sys.executable, "-m", "backend", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.PIPE, timeout=600)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated atlas, trained and embedded, with a held-out section beside it.

    ATLAS_DEMO names a folder that holds one already, for those who write journeys.
    """
    if "ATLAS_DEMO" in os.environ:
        return Path(os.environ["ATLAS_DEMO"])
    folder = tmp_path_factory.mktemp("atlas")
    atlas, checkpoint = folder / "demo.zarr", folder / "demo.ckpt"
    size = ("--sections", 6, "--cells", 24_000, "--seed", 1)
    run_backend("demo", atlas, *size, "--query", folder / "demo_query.h5ad")
    run_backend("train", "fusemap", atlas, "-o", checkpoint, "--quick")
    run_backend("embed", atlas, "--checkpoint", checkpoint)
    return folder


@pytest.fixture(scope="session")
def site(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Its own queue: no other site takes its jobs.
    with served(demo_folder, tmp_path_factory.mktemp("site")) as running:
        yield running


@contextmanager
def served(demo_folder: Path, folder: Path) -> Iterator[Site]:
    """Serve the demo atlas of a folder, with a queue and results in another."""
    port = _free_port()
    log = folder / "server.log"
    command = [sys.executable, "app.py", "--atlas", str(demo_folder / "demo.zarr")]
    command += ["--data", str(folder / "data"), "--port", str(port)]
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url + "/healthz", server, log)
            yield Site(url, folder, demo_folder / "demo_query.h5ad", log, server.pid)
        finally:
            server.terminate()
            server.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None:
                break
            time.sleep(0.3)
    raise RuntimeError(f"the server did not answer:\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The one driver of a session: a second beside it cannot be started."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launched(playwright, FLAGS) as running:
        yield running


@contextmanager
def launched(playwright: Playwright, flags: list[str]) -> Iterator[Browser]:
    """Run Chromium without a window."""
    program = next((p for name in CHROMIUM if (p := shutil.which(name))), None)
    if program is None:
        pytest.fail("the journeys need Chromium: apt-get install chromium")
    running = playwright.chromium.launch(executable_path=program, args=flags)
    yield running
    running.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of 1440 x 900; the test fails if the console spoke or another host was asked."""
    with quiet_page(browser, site) as opened:
        yield opened


@contextmanager
def quiet_page(browser: Browser, site: Site, ours: Callable[[str], bool] = bool) -> Iterator[Page]:
    """Open a page, and fail at its end if the console said what is ``ours``, or a host was asked.

    ``ours`` says of a line of the console whether it counts; all do unless it is given.
    """
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    context.add_init_script(COUNT_REQUESTS)
    opened = context.new_page()
    spoken: list[str] = []
    asked: set[str] = set()
    opened.on("console", lambda message: spoken.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: spoken.append(f"page error: {error}"))
    opened.on("request", lambda request: asked.add(request.url))
    yield opened
    context.close()
    outside = [u for u in asked if not u.startswith((site.url, "data:", "blob:"))]
    assert outside == []
    assert [line for line in spoken if ours(line)] == []


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Path:
    """Folder for the screenshots of one test; kept as artefacts of the run."""
    folder = ARTEFACTS / request.node.name
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder
