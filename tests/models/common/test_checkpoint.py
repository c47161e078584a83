from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import BadCheckpoint, StoreExists
from backend.models.common.checkpoint import (
    CARD,
    WEIGHTS,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)

TENSORS = {"a": np.array([[0.1, 1 / 3]]), "b": np.array([3], dtype=np.int64)}
ABOUT = {
    "model": "fusemap", "version": "1", "seed": 0, "genes": ["A"], "data": [], "licences": {},
    "metrics": {},
}  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "c", Checkpoint(ABOUT, TENSORS))
    return tmp_path / "c"


def test_round_trip_is_exact(saved: Path) -> None:
    loaded = load_checkpoint(saved, "fusemap")
    assert {k: v.tobytes() for k, v in loaded.tensors.items()} == {
        k: v.tobytes() for k, v in TENSORS.items()
    }
    assert {**loaded.card, **ABOUT} == loaded.card


def test_existing_folder_is_not_overwritten(saved: Path) -> None:
    with pytest.raises(StoreExists):
        save_checkpoint(saved, Checkpoint(ABOUT, {}))


def test_replacing_leaves_only_the_new_one(saved: Path) -> None:
    save_checkpoint(saved, Checkpoint({**ABOUT, "seed": 5}, TENSORS), replace=True)
    assert load_checkpoint(saved).card["seed"] == 5
    assert [p.name for p in saved.parent.iterdir()] == ["c"]


def test_changed_byte_of_the_weights_is_refused(saved: Path) -> None:
    raw = bytearray((saved / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (saved / WEIGHTS).write_bytes(raw)
    with pytest.raises(BadCheckpoint, match="SHA-256.*train it again"):
        load_checkpoint(saved)


def test_fake_weights_are_refused(saved: Path) -> None:
    import hashlib

    (saved / WEIGHTS).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    card = json.loads((saved / CARD).read_text())
    card["sha256"] = hashlib.sha256((saved / WEIGHTS).read_bytes()).hexdigest()
    (saved / CARD).write_text(json.dumps(card))
    with pytest.raises(BadCheckpoint, match="not readable"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "does not say format"),
        ({"format_version": 99}, "format version 99"),
        ({"model": "inspire"}, "not 'fusemap'"),
        ({"licences": ...}, "lacks licences"),
    ],
    ids=["format", "version", "model", "incomplete"],
)
def test_card_that_does_not_fit_is_refused(
    saved: Path, change: dict[str, object], words: str
) -> None:
    card = {**json.loads((saved / CARD).read_text()), **change}
    (saved / CARD).write_text(json.dumps({k: v for k, v in card.items() if v is not ...}))
    with pytest.raises(BadCheckpoint, match=words):
        load_checkpoint(saved, "fusemap")


@pytest.mark.parametrize("text", ["{", "[]", ""], ids=["torn", "list", "empty"])
def test_card_that_is_no_card_is_refused(saved: Path, text: str) -> None:
    (saved / CARD).write_text(text)
    with pytest.raises(BadCheckpoint, match="damaged"):
        load_checkpoint(saved)


def test_folder_that_is_no_checkpoint_says_what_one_is(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="A checkpoint is a folder"):
        load_checkpoint(tmp_path)
