"""A writer that is killed, whenever that is, goes on to the same bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from backend.core.errors import BadStore
from backend.store import flat, packed, pyramid
from backend.store.atlas import Atlas
from backend.store.root import remove_work
from backend.store.write import AtlasWriter, plan_of
from tests.store.test_write import files_of
from tests.tiny import GENES, SIZES, tiny_section

#: Whatever changes the disk while an atlas is written.
STEPS = [
    (zarr, "create_array"), (zarr, "create_group"), (os, "rename"), (os, "replace"),
    (shutil, "move"), (shutil, "rmtree"), (np, "save"), (np, "memmap"), (flat, "_index"),
    (packed, "_write_shard"),
]  # fmt: skip


class Killed(BaseException):
    """Nothing in the program catches this."""


def write(path: Path) -> None:
    sections = [tiny_section(name) for name in SIZES]
    cells = {s.id: np.arange(s.n_cells * 3).reshape(-1, 3).astype(np.int8) for s in sections}
    plan = [plan_of(s) for s in sections]
    genes, tables = (sorted(GENES), [""] * 12), (np.ones((12, 3)), np.ones(12), np.ones((12, 3)))
    writer = AtlasWriter(
        path, "t", True, genes, plan, scale={"cell": np.ones(3)}, gene_embedding=tables
    )
    for data in sections:
        if data.id in writer.pending:
            writer.add(data, (cells[data.id], None))
    writer.finish()


def die_at(moment: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Let the given step of a write be its last, done or not; count the steps."""
    count = [0]

    def wrapped(step: Any) -> Any:
        def act(*args: Any, **options: Any) -> Any:
            count[0] += 1
            last = count[0] == moment
            if last and moment % 2:
                raise Killed
            done = step(*args, **options)
            if last:
                raise Killed
            return done

        return act

    for owner, name in STEPS:
        patch.setattr(owner, name, wrapped(getattr(owner, name)))
    return count


def test_a_kill_at_any_step_costs_nothing_but_that_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "DENSE_TILE", 300)
    # The first write of a fresh checkout also saves compiled kernels, by some of the same steps.
    write(tmp_path / "warm")
    with monkeypatch.context() as patch:
        count = die_at(-1, patch)
        write(tmp_path / "whole")
    expected, path = files_of(tmp_path / "whole"), tmp_path / "a"
    assert count[0] > 150
    for moment in range(1, count[0] + 1, 17):
        with monkeypatch.context() as patch:
            die_at(moment, patch)
            with pytest.raises(Killed):
                write(path)
        if path.exists():  # only what follows the last rename was left undone
            assert Atlas.open(path).n_cells == sum(SIZES.values())
            remove_work(path)
        else:
            with pytest.raises(BadStore):
                Atlas.open(path)
            write(path)
        assert files_of(path) == expected, moment
        shutil.rmtree(path)
