from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.core.data import Label
from backend.core.errors import BadFile, BadRequest, NoSharedGenes, UnknownLayer
from backend.core.job import RunContext
from backend.core.layers import Category, LayerKey
from backend.models.inspire.count import matched
from backend.models.inspire.model import from_checkpoint, place, to_checkpoint
from backend.models.inspire.tasks import Run, SectionsParams, integrate_sections, result_of, run
from tests.models.inspire.planted import Planted, plant

PARAMS = SectionsParams(factors=5)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(7, side=14, markers=20)


@pytest.fixture(scope="module")
def found(planted: Planted) -> Run:
    return run(planted.sections, PARAMS, RunContext(seed=1))


def test_planted_proportions_and_their_own_section_come_back(planted: Planted, found: Run) -> None:
    p = found.state.proportions()
    partner, r = matched(np.vstack(planted.proportions), np.vstack(p))
    assert r.min() > 0.9
    present = np.array(
        [f["present"] for f in result_of(planted.sections, PARAMS, found, 1).figures["factors"]]
    )
    np.testing.assert_array_equal(present[partner].T, planted.present)


def test_the_same_seed_gives_the_same_factors(planted: Planted, found: Run) -> None:
    again = run(planted.sections, PARAMS, RunContext(seed=1))
    np.testing.assert_array_equal(again.state.programs, found.state.programs)


def test_columns_matrices_and_figures_cover_every_cell(planted: Planted, found: Run) -> None:
    result = result_of(planted.sections, PARAMS, found, 1)
    for section in planted.sections:
        own = {c.layer: c.values for c in result.columns if c.section == section.id}
        shares = np.stack([own[LayerKey("factor", str(k + 1))] for k in range(5)], axis=1)
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-5)
        assert own[LayerKey("label", "domain")].min() >= 0
        assert np.isfinite(own[LayerKey("score", "uncertainty")]).all()
    assert result.provenance is not None
    assert result.provenance.seed == 1
    assert set(result.figures["held_out"]) >= {"factors", "NMF of pooled counts"}


def test_uncertainty_covers_the_truth_about_as_often_as_it_says(
    planted: Planted, found: Run
) -> None:
    result = result_of(planted.sections, PARAMS, found, 1)
    spread = np.vstack([m.values for m in result.matrices if m.name == "spread"])
    truth, p = np.vstack(planted.proportions), np.vstack(found.state.proportions())
    partner, _ = matched(truth, p)
    inside = np.abs(truth - p[:, partner]) < 1.96 * spread[:, partner]
    assert 0.85 < inside.mean() <= 1.0


def test_a_new_section_is_placed_and_a_new_program_offered_where_it_shows_one(
    planted: Planted, found: Run
) -> None:
    checkpoint = to_checkpoint(found.fitted, planted.sections)
    model = from_checkpoint(checkpoint)
    known = place(model, planted.sections[1], RunContext())
    together = found.state.proportions()[1]
    assert np.mean(matched(together, known.proportions)[1]) > 0.95
    # Without the factor that only the last section has, that section shows something new.
    own = int(np.argmax([f[-1] for f in _own_factor(planted, found)]))
    fewer = replace(
        model,
        programs=np.delete(model.programs, own, axis=0),
        usage=np.delete(model.usage, own),
        names=tuple(np.delete(np.array(model.names), own)),
    )
    section = planted.sections[int(np.flatnonzero(planted.present[:, -1])[0])]
    placed = place(fewer, section, RunContext(), offer_free=True)
    assert placed.free is not None
    truth = planted.proportions[int(np.flatnonzero(planted.present[:, -1])[0])][:, -1]
    assert np.corrcoef(placed.proportions[:, -1], truth)[0, 1] > 0.9


def _own_factor(planted: Planted, found: Run) -> list[np.ndarray]:
    truth, p = np.vstack(planted.proportions), np.vstack(found.state.proportions())
    return [np.array([np.corrcoef(q, truth[:, -1])[0, 1]]) for q in p.T]


def test_a_section_of_another_panel_is_not_placed(planted: Planted, found: Run) -> None:
    section = planted.sections[0]
    other = replace(section, genes=tuple(f"X{g}" for g in section.genes))
    with pytest.raises(NoSharedGenes, match="shares 0 genes"):
        place(found.fitted, other, RunContext())


def test_a_single_section_is_refused_with_what_to_use(planted: Planted) -> None:
    with pytest.raises(BadRequest, match="two or more") as caught:
        integrate_sections(planted.sections[:1], PARAMS, None, RunContext())
    assert "weights" in " ".join(caught.value.hints)


def test_all_faults_of_a_section_are_said_at_once(planted: Planted) -> None:
    a, b = planted.sections[:2]
    scaled = replace(b, counts=b.counts * 0.37)
    far = replace(scaled, xy=b.xy * 100)
    with pytest.raises(BadFile) as caught:
        integrate_sections([a, far], replace(PARAMS, radius=60.0), None, RunContext())
    said = " ".join(f.what for f in caught.value.faults)
    assert "values are counts" in said
    assert "196 of 196 cells have no neighbour" in said


def test_panels_that_do_not_overlap_are_counted_pair_by_pair(planted: Planted) -> None:
    a, b = planted.sections[:2]
    other = replace(b, genes=(*b.genes[:3], *(f"X{g}" for g in b.genes[3:])))
    with pytest.raises(BadRequest, match="too few genes") as caught:
        integrate_sections([a, other], PARAMS, None, RunContext())
    assert "share" in " ".join(caught.value.hints)


def test_species_are_not_mixed(planted: Planted) -> None:
    a, b = planted.sections[:2]
    with pytest.raises(BadRequest, match="several species"):
        integrate_sections([a, replace(b, species="human")], PARAMS, None, RunContext())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (SectionsParams(factors=1), "1 factors"),
        (SectionsParams(domains=99), "99 domains"),
        (SectionsParams(hold=0.0), "held by 0"),
    ],
)
def test_parameters_out_of_bounds_are_refused(
    planted: Planted, params: SectionsParams, said: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        integrate_sections(planted.sections, params, None, RunContext())
    assert said in " ".join(caught.value.hints)


def test_a_label_is_carried_to_the_section_that_lacks_it(planted: Planted, found: Run) -> None:
    kinds = tuple(Category(f"kind {k}", "#777777") for k in range(5))
    truth = [p.argmax(axis=1).astype(np.int16) for p in planted.proportions]
    given = [
        replace(s, labels={"kind": Label(t, kinds)} if i else {})
        for i, (s, t) in enumerate(zip(planted.sections, truth, strict=True))
    ]
    result = result_of(given, replace(PARAMS, truth="kind", checks=False), found, 1)
    key = LayerKey("label", "kind transferred")
    columns = {c.section: c for c in result.columns if c.layer == key}
    called = np.array([c.name for c in columns["s0"].categories])[columns["s0"].values]
    known = np.array([k.name for k in kinds])[truth[0]]
    shared = truth[0] < 4  # the factor of this section alone has no label elsewhere
    assert (called == known)[shared].mean() > 0.75
    assert result.figures["transfer"]["accuracy"]["cells"] > 0.75
    np.testing.assert_array_equal(columns["s1"].values, truth[1])


def test_an_unknown_truth_is_refused(planted: Planted) -> None:
    with pytest.raises(UnknownLayer, match="No section has a label"):
        integrate_sections(planted.sections, replace(PARAMS, truth="layer"), None, RunContext())
