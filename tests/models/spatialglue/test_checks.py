from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.data import Modality, SectionData
from backend.core.errors import BadFile, BadRequest, NoSpatialSignal, UnknownLayer
from backend.core.job import RunContext
from backend.models.spatialglue.tasks import IntegrateParams, integrate_modalities
from backend.models.spatialglue.technologies import TECHNOLOGIES, technology_of


def _section(n: int = 49) -> SectionData:
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(n), 7)
    values = csr_matrix(rng.poisson(5.0, (n, 9)).astype(np.float32))
    names = tuple(f"g{j}" for j in range(9))
    own = Modality("rna", "rna", values, names, np.ones(n, bool))
    return SectionData(
        id="s", title="mine.h5ad", xy=np.stack([x, y], 1).astype(np.float32),
        counts=values, genes=names, names=np.arange(n).astype(str), modalities=(own,),
    )  # fmt: skip


def _with(change: str) -> SectionData:
    section = _section()
    own = section.modalities[0]
    values = own.values.toarray()
    xy = section.xy.copy()
    if change == "negative":
        values[3, 2] = -2
    if change == "not finite":
        values[3, 2] = np.nan
    if change == "constant":
        values[:, 4] = 3
    if change == "all constant":
        values[:] = 1
    if change == "empty":
        values[[5, 6]] = 0
    if change == "duplicates":
        xy[1] = xy[0]
    if change == "no place":
        xy[2, 0] = np.inf
    if change == "one spot":
        return replace(
            section, xy=xy[:1], names=section.names[:1],
            modalities=(replace(own, values=own.values[:1], present=own.present[:1]),),
        )  # fmt: skip
    return replace(section, xy=xy, modalities=(replace(own, values=csr_matrix(values)),))


@pytest.mark.parametrize(
    ("change", "words", "remedy"),
    [
        ("negative", "1 values are below zero", "raw counts"),
        ("not finite", "1 values are not finite", "Replace them"),
        ("constant", r"one value in all spots \(g4\)", "Leave them out"),
        ("all constant", "no feature varies", "another matrix"),
        ("empty", "2 spots have no count", "--empty missing"),
        ("duplicates", "1 of 49 spots have the coordinates of another", "duplicated"),
        ("no place", "not finite", "Leave these spots out"),
        ("one spot", "there is one spot", "whole section"),
    ],
)
def test_bad_input_gets_one_error_with_the_remedy(change: str, words: str, remedy: str) -> None:
    with pytest.raises(BadFile, match=words) as caught:
        integrate_modalities([_with(change)], IntegrateParams(), None, RunContext())
    assert remedy in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    bad = _with("negative")
    twice = replace(bad, xy=_with("duplicates").xy)
    with pytest.raises(BadFile, match="2 problems"):
        integrate_modalities([twice], IntegrateParams(), None, RunContext())


def test_fewer_features_than_components_names_a_number_that_works() -> None:
    with pytest.raises(BadFile, match="9 features that vary, fewer than the 20") as caught:
        integrate_modalities([_section()], IntegrateParams(components=20), None, RunContext())
    assert "--components 8" in str(caught.value)


def test_an_unknown_technology_lists_the_known() -> None:
    with pytest.raises(BadRequest, match="'Visum' is not known") as caught:
        integrate_modalities([_section()], IntegrateParams(technology="Visum"), None, RunContext())
    assert all(name in str(caught.value) for name in TECHNOLOGIES)
    assert technology_of("stereo cite seq").epochs == 1500
    assert technology_of("10x").correspondence == (1, 10)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (IntegrateParams(clusters=1), "clusters is 1"),
        (IntegrateParams(clusters=40), "40 domains were asked for, of 49 spots"),
        (IntegrateParams(seeds=0), "seeds is 0"),
        (IntegrateParams(mode="parity"), "needs two modalities"),
    ],
    ids=["one domain", "too many", "no seed", "parity"],
)
def test_parameters_out_of_range_are_refused(params: IntegrateParams, words: str) -> None:
    section = _section()
    values = section.modalities[0].values.toarray()
    values[:21] *= 4  # something for the axes to see
    own = replace(section.modalities[0], values=csr_matrix(values + np.arange(49)[:, None]))
    with pytest.raises(BadRequest, match=words):
        integrate_modalities([replace(section, modalities=(own,))], params, None, RunContext())


def test_noise_without_spatial_signal_is_said_to_be_so() -> None:
    with pytest.raises(NoSpatialSignal, match="rna"):
        integrate_modalities([_section()], IntegrateParams(), None, RunContext())


def test_an_unknown_truth_is_refused() -> None:
    with pytest.raises(UnknownLayer, match="no label 'region'"):
        integrate_modalities([_section()], IntegrateParams(truth="region"), None, RunContext())
