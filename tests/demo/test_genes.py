"""Genes and panels: real symbols first, stable under length, overlapping but different."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from backend.core.errors import BadRequest
from backend.demo.genes import gene_model, gene_symbols
from backend.demo.markers import BRIDGE, LESION, MARKERS
from backend.demo.regions import families
from backend.demo.technologies import panel, technologies
from backend.demo.types import classes, type_names


def test_markers_name_known_classes_types_or_regions() -> None:
    known = {c.name for c in classes()} | set(type_names()) | {f.name for f in families()}
    unknown = {t for marks in MARKERS.values() for t, _ in marks} - known
    assert unknown == set()


def test_bridge_and_lesion_genes_are_markers() -> None:
    assert {*BRIDGE, *LESION} <= set(MARKERS)


def test_invented_genes_say_so() -> None:
    symbols = gene_symbols(400)
    assert len(set(symbols)) == 400
    assert all(s in MARKERS or s.startswith("Sim0") for s in symbols)


def test_too_few_genes_are_refused() -> None:
    with pytest.raises(BadRequest, match="at least 30 genes"):
        gene_symbols(3)


def test_a_gene_is_the_same_however_many_follow() -> None:
    short, long = gene_model(1_000, 5), gene_model(2_500, 5)
    assert long.symbols[:1_000] == short.symbols
    assert np.array_equal(long.of_type[:, :1_000], short.of_type)
    assert np.array_equal(long.loadings[:, :1_000], short.loadings)


def test_another_seed_gives_other_effects() -> None:
    assert not np.array_equal(gene_model(50, 1).of_type, gene_model(50, 2).of_type)


def test_panels_share_the_bridge_and_differ() -> None:
    symbols = gene_symbols(3_000)
    panels = {k: set(panel(t, symbols, 0)) for k, t in technologies().items()}
    for first, second in combinations(panels, 2):
        assert panels[first] & panels[second] >= set(BRIDGE)
        assert panels[first] - panels[second]
    assert len(panels["merfish"]) == 500
    assert len(panels["iss"]) == 100


def test_open_panels_grow_with_the_genes_and_targeted_ones_do_not() -> None:
    symbols = gene_symbols(6_000)
    known = technologies()
    assert len(panel(known["visium"], symbols, 0)) == 4_000
    assert len(panel(known["xenium"], symbols, 0)) == 247
