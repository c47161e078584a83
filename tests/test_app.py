"""The program: where kernels are kept, and what it says of a port in use."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

import app
from backend.core.settings import Settings

KERNELS = "NUMBA_CACHE_DIR"


@pytest.mark.parametrize(("writable", "named"), [(True, False), (False, True)])
def test_kernels_lie_beside_the_code_or_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool, named: bool
) -> None:
    # Set and deleted, so that the variable is as before when the test ends.
    monkeypatch.setenv(KERNELS, "x")
    monkeypatch.delenv(KERNELS)
    monkeypatch.setattr(os, "access", lambda *_: writable)
    app._keep_kernels(Settings(data=tmp_path))
    expected = str(tmp_path / "cache" / "numba") if named else None
    assert os.environ.get(KERNELS) == expected


def test_a_folder_that_was_named_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNELS, "/elsewhere")
    monkeypatch.setattr(os, "access", lambda *_: False)
    app._keep_kernels(Settings(data=tmp_path))
    assert os.environ[KERNELS] == "/elsewhere"


def test_a_port_in_use_is_told_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        data = tmp_path / "data"
        assert app.main(["--port", str(port), "--workers", "2", "--data", str(data)]) == 2
    assert f"--port {port + 1}" in capsys.readouterr().err
    assert not data.exists()
