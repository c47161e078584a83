from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.tiles.cache import ArrayCache, tile_cache_key

KEY = TileKey("a", LayerKey("label", "type"), Style(), TileAddress(1, 0, 0))


def test_the_name_of_a_tile_changes_with_everything_that_changes_its_pixels() -> None:
    variants = [
        KEY,
        replace(KEY, section="b"),
        replace(KEY, layer=LayerKey("label", "region")),
        replace(KEY, address=TileAddress(1, 0, 1)),
        *[
            replace(KEY, style=style)
            for style in (
                Style("ink-dark"),
                Style(lo=0.0),
                Style(hi=0.0),
                Style(size=512),
                Style(only=(1,)),
                Style(least=0.5),
            )
        ],
    ]
    names = {tile_cache_key(key, 1) for key in variants} | {tile_cache_key(KEY, 2)}
    assert len(names) == len(variants) + 1
    assert tile_cache_key(KEY, 1) == tile_cache_key(KEY, 1)


def test_the_oldest_unused_entry_is_dropped_first() -> None:
    cache = ArrayCache(3_000)
    made: list[str] = []

    def get(name: str) -> None:
        cache.get(name, lambda: made.append(name) or np.zeros(1_000, np.uint8))

    for name in ("a", "b", "a", "c", "a", "b"):
        get(name)
    assert made == ["a", "b", "c", "b"]
    assert cache.n_bytes <= 3_000


def test_what_is_larger_than_the_cache_is_returned_and_not_kept() -> None:
    cache = ArrayCache(10)
    assert cache.get("big", lambda: np.ones(100)).sum() == 100
    assert len(cache) == 0


def test_a_failure_is_not_kept() -> None:
    cache = ArrayCache(1_000)

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("a", fail)
    assert cache.get("a", lambda: 5) == 5


def test_threads_that_ask_at_once_make_it_once() -> None:
    cache = ArrayCache(1_000)
    made = []
    gate = threading.Barrier(4)

    def make() -> int:
        made.append(1)
        return 7

    def ask() -> None:
        gate.wait()
        cache.get("a", make)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
