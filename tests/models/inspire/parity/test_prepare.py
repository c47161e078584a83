from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix, hstack

from backend.core.data import SectionData
from backend.core.errors import BadFile, BadRequest, NoSharedGenes
from backend.models.inspire.parity.prepare import published
from backend.models.inspire.parity.settings import Preparing
from tests.models.inspire.parity.two import GENES, HOW, raw_sections


def _with_gene(section: SectionData, name: str, counts: np.ndarray) -> SectionData:
    column = csr_matrix(counts[:, None].astype(np.float32))
    return replace(
        section, counts=csr_matrix(hstack([section.counts, column])), genes=(*section.genes, name)
    )


def test_mitochondrial_genes_count_for_nothing() -> None:
    plain = raw_sections()
    sections = [_with_gene(s, "mt-Nd1", np.full(s.n_cells, 50)) for s in plain]
    (first, _), genes = published(sections, HOW)
    assert genes == tuple(f"GENE{g:02d}" for g in range(GENES))
    np.testing.assert_allclose(first.x.toarray(), published(plain, HOW)[0][0].x.toarray())


def test_the_encoder_scales_by_all_genes_and_the_likelihood_by_those_used() -> None:
    first, second = raw_sections()
    first = _with_gene(first, "Only", np.full(first.n_cells, 7))
    (made, _), genes = published([first, second], replace(HOW, shared_first=False))
    assert "ONLY" not in genes
    used = first.counts[:, :GENES].toarray()
    np.testing.assert_allclose(made.library, used.sum(axis=1))
    scaled = np.log1p(1e4 * used / (used.sum(axis=1, keepdims=True) + 7))
    np.testing.assert_allclose(made.x.toarray(), scaled, rtol=1e-5)


def test_panels_that_are_intersected_first_are_scaled_to_a_thousand() -> None:
    sections = raw_sections()
    (made, _), _ = published(sections, HOW)
    np.testing.assert_allclose(np.expm1(made.x.toarray()).sum(axis=1), 1e3, rtol=1e-4)


def test_cells_are_filtered_before_genes() -> None:
    first, second = raw_sections()
    counts = first.counts.toarray()
    # The only cell with the twelfth gene has no other gene, and takes it along.
    counts[:, 11], counts[0] = 0, 0
    counts[0, 11] = 5
    first = replace(first, counts=csr_matrix(counts))
    how = replace(HOW, least_genes=2, radius=1.5)
    (made, _), genes = published([first, second], how)
    assert made.cells.tolist() == list(range(1, 100))
    assert len(genes) == 11


def test_only_variable_genes_of_all_sections_are_used() -> None:
    _, genes = published(raw_sections(1), replace(HOW, variable=11))
    assert 10 <= len(genes) <= 11


def test_the_radius_is_that_of_the_first_section_where_none_is_given() -> None:
    first, second = raw_sections()
    far = replace(second, xy=second.xy * 1.05)
    made, _ = published([first, far], replace(HOW, radius=None, radius_factor=1.1))
    assert [p.graph.nnz for p in made] == [100 + 360] * 2


def test_too_few_shared_genes_are_counted_per_pair() -> None:
    first, second = raw_sections()
    renamed = replace(second, genes=tuple(f"Other{g}" for g in range(2)) + second.genes[2:])
    with pytest.raises(NoSharedGenes, match="9 variable genes") as caught:
        published([first, renamed, replace(first, genes=(*first.genes[:-1], "x"))], HOW)
    assert "Section 0 and Section 1 share 9" in str(caught.value.as_json())


def test_isolated_cells_are_counted_and_refused_or_kept() -> None:
    first, second = raw_sections()
    moved = second.xy.copy()
    moved[0] = (-50, -50)
    sections = [first, replace(second, xy=moved)]
    with pytest.raises(BadFile, match="1 of 100 cells have no neighbour within 1.1"):
        published(sections, HOW)
    made, _ = published(sections, replace(HOW, allow_isolated=True))
    assert made[1].n_cells == 100


def test_a_section_that_filters_empty_is_named() -> None:
    with pytest.raises(BadFile, match="Section 0.*0 cells and 0 genes are left"):
        published(raw_sections(), Preparing(least_genes=50, radius=1.1))


def test_one_section_is_refused() -> None:
    with pytest.raises(BadRequest, match="need two or more"):
        published(raw_sections()[:1], HOW)
