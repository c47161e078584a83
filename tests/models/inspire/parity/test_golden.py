from __future__ import annotations

import pytest

from backend.core.parity import ParityRow
from backend.models.inspire.parity.golden import golden_rows

ROWS = list(golden_rows())


def test_all_golden_values_are_covered() -> None:
    assert len(ROWS) == 15


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_golden_values_are_met(row: ParityRow) -> None:
    assert row.ok, f"{row.ours} is not {row.reference}: {row.error}"
