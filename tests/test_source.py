"""Rules about the source itself that no linter checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [p for folder in ("backend", "explorer") for p in (ROOT / folder).rglob("*.py")]


def test_no_module_unpickles_anything() -> None:
    risky = re.compile(
        r"^\s*(import|from) (pickle|cPickle|dill|joblib|shelve|marshal|cloudpickle)\b"
        r"|weights_only *= *False|allow_pickle *= *True|torch\.load\(",
        re.M,
    )
    assert SOURCES
    assert [p.name for p in SOURCES if risky.search(p.read_text())] == []


@pytest.mark.parametrize("module", ["backend.service", "backend.http", "explorer"])
def test_the_web_process_never_imports_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_file_says_what_it_is_for() -> None:
    silent = [
        p.relative_to(ROOT)
        for p in SOURCES
        if p.read_text().strip() and not p.read_text().lstrip().startswith('"""')
    ]
    assert silent == []
