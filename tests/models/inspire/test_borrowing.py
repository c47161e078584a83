from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.inspire.borrowing import choose_borrow
from backend.models.inspire.em import Settings
from backend.models.inspire.inputs import Joined, join
from backend.models.inspire.search import search
from tests.models.inspire.planted import plant


def _shuffled(section: SectionData, seed: int) -> SectionData:
    places = np.random.default_rng(seed).permutation(section.n_cells)
    return replace(section, xy=section.xy[places])


def _borrowed(sections: list[SectionData], data: Joined) -> float:
    settings = Settings()
    found = search(sections, data, 5, settings, 0, RunContext(), tries=1, noise=False)
    return choose_borrow(data, found.state, settings, 0)[0]


def test_cells_borrow_where_neighbours_are_alike_and_not_where_they_are_strangers() -> None:
    planted = plant(5)
    strangers = [_shuffled(s, i) for i, s in enumerate(planted.sections)]
    assert _borrowed(planted.sections, join(planted.sections)) >= 0.1
    assert _borrowed(strangers, join(strangers)) <= 0.02
