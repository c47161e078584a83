"""Work over many sections as a Dask graph: side by side on this machine, or on any cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

from backend.core.errors import BadRequest

#: Told when a task is done: its place in the list, and its answer.
Done = Callable[[int, Any], None]


def run_tasks(
    work: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    done: Done,
    *,
    pool: Executor | None = None,
    scheduler: str | None = None,
) -> None:
    """Call ``work`` with the arguments of each task; what is first in the list begins first.

    Parameters
    ----------
    work : callable
        Must be importable where it runs, as must what it is given.
    tasks : sequence of tuple
    done : callable
        Called in this thread, in the order in which tasks end; may raise to stop.
    pool : Executor, optional
        Threads or processes of this machine; the calling thread where None.
    scheduler : str, optional
        Address of a Dask scheduler whose workers share the folders that tasks name.

    Raises
    ------
    BadRequest
        If there is no scheduler at the address.
    """
    if scheduler is not None:
        _on_cluster(work, tasks, done, scheduler)
    elif pool is None:
        for place, task in enumerate(tasks):
            done(place, work(*task))
    elif tasks:
        _here(work, tasks, done, pool)


def _here(
    work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], done: Done, pool: Executor
) -> None:
    # Of tasks that depend on nothing, Dask begins with that of the last name.
    names = [f"task-{len(tasks) - place:09d}" for place in range(len(tasks))]
    places = {name: place for place, name in enumerate(names)}
    # What a task is given is bound to it, so that Dask does not look for tasks inside.
    graph = {name: (partial(work, *task),) for name, task in zip(names, tasks, strict=True)}

    def told(name: str, answer: Any, *_: Any) -> None:
        done(places[name], answer)

    # By name, since Dask is untyped, and only now, since its import takes half a second.
    callbacks: Any = import_module("dask.callbacks")
    with callbacks.Callback(posttask=told):
        if isinstance(pool, ThreadPoolExecutor):
            import_module("dask.threaded").get(graph, names, pool=pool)
        else:
            run: Any = import_module("dask.multiprocessing")
            run.get(graph, names, pool=pool, optimize_graph=False, chunksize=1)


def _on_cluster(
    work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], done: Done, scheduler: str
) -> None:
    cluster: Any = import_module("dask.distributed")
    try:
        client = cluster.Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise BadRequest(
            f"There is no Dask scheduler at '{scheduler}'.", "Start one: dask scheduler."
        ) from error
    with client:
        futures = [
            client.submit(work, *task, pure=False, priority=-place)
            for place, task in enumerate(tasks)
        ]
        places = {future.key: place for place, future in enumerate(futures)}
        try:
            for future in cluster.as_completed(futures):
                done(places[future.key], future.result())
        finally:
            client.cancel(futures)
