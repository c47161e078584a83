"""Processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

#: Seconds between two looks at whether the parent lives.
_WATCH = 1.0


@contextmanager
def processes(count: int) -> Iterator[Executor | None]:
    """Give a pool of processes, None for a single one; work not begun is dropped at an error."""
    if count < 2:
        yield None
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, spawn, _end_with, (os.getpid(),)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _end_with(parent: int) -> None:
    """Leave when the parent was killed, which ends no process by itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
