"""Tasks over sections: here, in threads, on a cluster; stopped when asked."""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from dask.distributed import LocalCluster

from backend.core.errors import BadRequest, Cancelled
from backend.store.parallel import run_tasks

TASKS = [(n, 10) for n in range(12)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
            yield cluster.scheduler_address


@pytest.mark.parametrize("way", ["alone", "threads", "cluster"])
def test_every_task_is_done_once_and_told_in_this_thread(
    way: str, request: pytest.FixtureRequest
) -> None:
    found: dict[int, int] = {}

    def done(place: int, answer: int) -> None:
        assert place not in found
        assert threading.current_thread() is threading.main_thread()
        found[place] = answer

    if way == "cluster":
        run_tasks(operator.add, TASKS, done, scheduler=request.getfixturevalue("address"))
    elif way == "threads":
        with ThreadPoolExecutor(3) as pool:
            run_tasks(operator.add, TASKS, done, pool=pool)
    else:
        run_tasks(operator.add, TASKS, done)
    assert found == {place: place + 10 for place in range(12)}


def test_the_first_of_the_list_begins_first() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        run_tasks(begun.append, [(n,) for n in range(200)], lambda *_: None, pool=pool)
    assert begun == list(range(200))


@pytest.mark.parametrize("way", ["alone", "threads"])
def test_nothing_more_begins_once_stopped(way: str) -> None:
    begun: list[int] = []

    def stop(place: int, _: None) -> None:
        if place == 5:
            raise Cancelled("Stopped.")

    tasks = [(n,) for n in range(500)]
    with ThreadPoolExecutor(1) as pool:
        own = pool if way == "threads" else None
        with pytest.raises(Cancelled):
            run_tasks(begun.append, tasks, stop, pool=own)
    assert len(begun) < 20


def test_an_error_of_a_task_is_raised() -> None:
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        run_tasks(operator.floordiv, [(1, 1), (1, 0)], lambda *_: None, pool=pool)


def test_no_tasks_need_no_pool() -> None:
    with ThreadPoolExecutor(1) as pool:
        run_tasks(operator.add, [], lambda *_: None, pool=pool)


def test_an_address_without_a_scheduler_is_named() -> None:
    with pytest.raises(BadRequest, match="no Dask scheduler at 'nonsense://x'"):
        run_tasks(operator.add, TASKS, lambda *_: None, scheduler="nonsense://x")
