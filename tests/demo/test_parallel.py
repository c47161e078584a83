"""A demo made by several processes, on a cluster, or killed half way has the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from dask.distributed import LocalCluster

from backend.demo import make
from backend.demo.make import make_demo
from backend.store.atlas import Atlas
from tests.store.test_write import files_of

SIZE = {"sections": 8, "cells": 4_000, "genes": 60, "seed": 2, "embedded": True}
SCRIPT = f"""
import sys
from pathlib import Path
from backend.demo import make
make.MANY_CELLS = 0
if __name__ == "__main__":
    make.make_demo(Path(sys.argv[1]), **{SIZE})
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("alone") / "demo.zarr"
    make_demo(path, **SIZE)
    return files_of(path)


def test_a_cluster_makes_the_same_bytes(tmp_path: Path, alone: dict[str, bytes]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
            make_demo(tmp_path / "demo.zarr", scheduler=cluster.scheduler_address, **SIZE)
    assert files_of(tmp_path / "demo.zarr") == alone
    assert [p.name for p in tmp_path.iterdir()] == ["demo.zarr"]


def test_processes_that_are_killed_go_on_to_the_same_bytes(
    tmp_path: Path, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, path = tmp_path / "run.py", tmp_path / "demo.zarr"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(make.__file__).parents[2])}
    done = tmp_path / "demo.zarr.partial" / ".build" / "done"
    with subprocess.Popen(command, env=environment, start_new_session=True) as run:
        while not (list(done.glob("*.json")) or path.exists()):
            assert run.poll() is None
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGKILL)
    kept = {file: file.stat().st_mtime_ns for file in done.glob("*.json")}
    assert 0 < len(kept) < SIZE["sections"]
    assert (tmp_path / "demo.zarr.layouts").is_dir()
    monkeypatch.setattr(make, "MANY_CELLS", 0)
    monkeypatch.setattr(make, "MOST_PROCESSES", 1)
    added: list[str] = []
    add = make.write_one
    monkeypatch.setattr(make, "write_one", lambda w, s, *r: (added.append(s.id), add(w, s, *r))[1])
    make_demo(path, **SIZE)
    assert len(added) == SIZE["sections"] - len(kept)
    assert files_of(path) == alone
    assert Atlas.open(path).n_cells == SIZE["cells"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.zarr", "run.py"]
