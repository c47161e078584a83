from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from backend.core.errors import NoSharedGenes
from backend.core.job import RunContext
from backend.models.fusemap.parity.mapping import map_query
from backend.models.fusemap.parity.outputs import Fitted
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.train import fit
from tests.models.fusemap.parity.planted import planted

SMALL = Settings(
    latent=8, hidden=32, adversary=16, batch=32, epochs=12, early_stopping=False, decode="exact"
)
SECTIONS, TYPES = planted(sections=3)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(SECTIONS[:2], SMALL, RunContext(seed=0))


def test_known_genes_stay_frozen_and_new_ones_are_learned(fitted: Fitted) -> None:
    names = list(SECTIONS[2].genes)
    names[0] = "New"
    query = replace(SECTIONS[2], genes=names)
    short = replace(SMALL, epochs=2)
    found = map_query(fitted, query, short, RunContext(seed=0))
    place = {g: i for i, g in enumerate(fitted.genes)}
    known = [g for g in found.genes if g in place]
    assert set(found.genes) - set(known) == {"NEW"}
    rows = [found.genes.index(g) for g in known]
    np.testing.assert_array_equal(
        found.gene_embedding[rows], fitted.gene_embedding[[place[g] for g in known]]
    )
    again = map_query(fitted, query, short, RunContext(seed=0))
    np.testing.assert_array_equal(found.cell, again.cell)


@pytest.mark.parametrize("gate", [False, True], ids=["as published", "entropy gate"])
def test_planted_types_of_a_query_are_near_those_of_the_reference(
    fitted: Fitted, gate: bool
) -> None:
    found = map_query(fitted, SECTIONS[2], SMALL, RunContext(seed=0), fraction=0.25, gate=gate)
    z = np.concatenate([s.cell for s in fitted.sections])
    codes = np.concatenate([t[s.cells] for t, s in zip(TYPES, fitted.sections, strict=False)])
    guess = KNeighborsClassifier(15).fit(z, codes).predict(found.cell)
    assert (guess == TYPES[2][found.cells]).mean() > 0.7


def test_validation_chooses_the_network_that_is_kept(fitted: Fitted) -> None:
    settings = replace(SMALL, epochs=4, validate_after=1, early_stopping=True)
    found = map_query(fitted, SECTIONS[2], settings, RunContext(seed=0))
    assert found.cell.shape == found.niche.shape == (len(found.cells), 8)
    assert 2 <= len(found.history) <= 4


def test_a_query_without_a_known_gene_is_refused(fitted: Fitted) -> None:
    strange = replace(SECTIONS[2], genes=[f"X{i}" for i in range(len(SECTIONS[2].genes))])
    with pytest.raises(NoSharedGenes, match="none of the 20"):
        map_query(fitted, strange, SMALL, RunContext())
