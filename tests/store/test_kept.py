"""What is kept stays below its limit, and the least recently used goes first."""

from __future__ import annotations

from backend.store.kept import Kept


def test_the_least_recently_used_goes_first() -> None:
    made: list[str] = []
    kept: Kept[bytes] = Kept(10, len)

    def get(key: str, size: int = 4) -> None:
        kept.get(key, lambda: (made.append(key), bytes(size))[1])

    for key in "abacab":
        get(key)
    # c pushes out b, which was used longest ago; then b pushes out c.
    assert made == ["a", "b", "c", "b"]
    assert kept.n_bytes == 8


def test_a_thing_above_the_limit_is_kept_alone() -> None:
    kept: Kept[bytes] = Kept(10, len)
    kept.get("a", lambda: bytes(4))
    large = kept.get("b", lambda: bytes(40))
    assert kept.n_bytes == 40
    assert kept.get("b", lambda: bytes(1)) is large
    kept.get("a", lambda: bytes(4))
    assert kept.n_bytes == 4
