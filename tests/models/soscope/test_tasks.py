from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.data import Modality, SectionData
from backend.core.errors import BadFile, BadRequest
from backend.core.job import RunContext
from backend.models.soscope.counted import chosen_features
from backend.models.soscope.tasks import EnhanceParams, enhance
from tests.models.soscope.planted import grid


def spots(name: str = "a", genes: int = 12, seed: int = 0, shift: int = 0) -> SectionData:
    rng = np.random.default_rng(seed)
    xy = grid(9)
    level = 4 + 3 * np.sin(xy[:, :1] / 200) + rng.uniform(0, 6, genes)
    counts = csr_matrix(rng.poisson(level), dtype=np.float32)
    return SectionData(
        id=name, title=name, xy=xy.astype(np.float32), counts=counts,
        genes=tuple(f"Gene{i + shift}" for i in range(genes)),
        names=np.array([f"{name}{i}" for i in range(81)]),
    )  # fmt: skip


def test_several_sections_are_enhanced_together_and_come_apart_again() -> None:
    result = enhance([spots("a"), spots("b", seed=1)], EnhanceParams(domains=3), RunContext())
    assert [s.id for s in result.sections] == ["a.subspots", "b.subspots"]
    assert [s.n_cells for s in result.sections] == [324, 324]
    assert result.sections[1].names[:5].tolist() == ["b0_1", "b0_2", "b0_3", "b0_4", "b1_1"]
    for section in ("a", "b"):
        parent = next(m.values for m in result.matrices
                      if m.section == f"{section}.subspots" and m.name == "parent")  # fmt: skip
        assert parent[:, 0].tolist() == np.repeat(np.arange(81), 4).tolist()
    scores = {(c.section, str(c.layer)): c.values for c in result.columns}
    assert len(scores[("a", "score:recovered")]) == 81
    assert np.isfinite(scores[("b", "score:recovered")]).mean() > 0.9
    assert (scores[("b.subspots", "score:detail")] > 0).all()
    assert result.figures["domains"] == 3
    assert result.figures["split_error"] < 1e-6


def test_only_genes_of_all_sections_are_enhanced() -> None:
    counts, genes, _ = chosen_features([spots("a"), spots("b", shift=6)], 0, 648)
    assert genes == tuple(f"Gene{i}" for i in range(6, 12))
    assert counts.shape == (162, 6)
    with pytest.raises(BadRequest, match="no gene in common"):
        chosen_features([spots("a"), spots("b", shift=50)], 0, 648)


def test_no_more_genes_than_asked_for_the_most_abundant_ones() -> None:
    section = spots()
    counts, genes, _ = chosen_features([section], 3, 324)
    total = np.asarray(section.counts.sum(axis=0)).ravel()
    assert set(genes) == {section.genes[i] for i in np.argsort(-total)[:3]}


def test_deep_proteins_help_shallow_genes_of_the_same_spots() -> None:
    rng = np.random.default_rng(0)
    wave = 1.2 + np.sin(grid(9)[:, :1] / 200) * np.cos(grid(9)[:, 1:] / 150)
    rna = replace(spots(), counts=csr_matrix(rng.poisson(wave * np.ones(12)), dtype=np.float32))
    adt = csr_matrix(rng.poisson(400 * wave * np.ones(5)), dtype=np.float32)
    names = ("Gene0", "CD4", "CD8", "CD19", "CD20")
    everywhere = np.ones(81, bool)
    both = replace(
        rna,
        modalities=(
            Modality("rna", "rna", rna.counts, rna.genes, everywhere),
            Modality("adt", "protein", adt, names, everywhere),
        ),
    )
    fine = np.repeat(wave[:, 0], 4)
    made = {}
    for title, section in (("alone", rna), ("joint", both)):
        found = enhance([section], EnhanceParams(domains=2), RunContext()).sections[0]
        made[title] = found.counts.toarray()[:, :12]
        r = [np.corrcoef(gene, fine)[0, 1] for gene in made[title].T]
        made[f"{title} r"] = np.median(r)
    assert found.genes[12:] == tuple(f"{name} (adt)" for name in names)
    assert made["joint r"] > made["alone r"] + 0.02
    assert made["joint"].mean() == pytest.approx(rna.counts.mean() / 4, rel=0.1)


def test_all_that_is_wrong_with_sections_is_told_at_once() -> None:
    few = replace(spots("few"), xy=spots().xy[:3], counts=spots().counts[:3])
    scaled = replace(spots("scaled"), unit="normalised")
    with pytest.raises(BadFile) as raised:
        enhance([few, scaled], EnhanceParams(), RunContext())
    assert [fault.where for fault in raised.value.faults] == ["section 'few'", "section 'scaled'"]


def test_an_image_of_one_of_two_sections_is_refused() -> None:
    features = {"a": np.zeros((324, 3), np.float32)}
    with pytest.raises(BadRequest, match="no image of section 'b'"):
        enhance([spots("a"), spots("b")], EnhanceParams(), RunContext(), features=features)
