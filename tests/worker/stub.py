"""A worker with stubs for verbs, started by the tests as a process of its own."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.core.settings import Settings
from backend.worker import run_worker
from backend.worker.work import Work


def quick(work: Work) -> Mapping[str, Any]:
    (work.folder / "annotated.csv").write_text("cell_id\n")
    return {"process": os.getpid(), "niceness": os.nice(0), "atlas": work.atlas.name}


def slow(work: Work) -> Mapping[str, Any]:
    (work.folder / "annotated.csv").write_text("half")
    for i in range(3000):
        work.context.step(i / 3000, "slow")
        time.sleep(0.02)
    return {}


def crash(work: Work) -> Mapping[str, Any]:
    os._exit(9)


VERBS = {("stub", "quick"): quick, ("stub", "slow"): slow, ("stub", "crash"): crash}
OFFERS = {verb: ("n",) for verb in VERBS}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--atlas", type=Path)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    run_worker(Settings(data=args.data), args.atlas, None, VERBS)
