"""Ligands and receptors: tables of three makers, who touches whom, tests that hold their rate."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from backend.analysis.ligands import LigandParams, adjusted, combined, compare_pairs, meet
from backend.analysis.ligands_table import list_tables, read_pairs, subunits, table_in
from backend.core.errors import BadFile, BadRequest, TooFewCells

GENES = {"Tgfb1", "Tgfbr1", "Tgfbr2", "ITGA8", "ITGB1", "H2_T22"}
PARAMS = LigandParams()


def has(name: str) -> bool:
    return name in GENES


def test_every_makers_columns_are_read(tmp_path: Path) -> None:
    chat = tmp_path / "cellchat.csv"
    chat.write_text(
        "interaction_name,pathway_name,ligand,receptor,ligand.symbol,receptor.symbol\n"
        'X,TGFb,Tgfb1,TGFbR1_R2,Tgfb1,"Tgfbr1, Tgfbr2"\n'
    )
    assert read_pairs(chat, has) == [(("Tgfb1",), ("Tgfbr1", "Tgfbr2"), "TGFb")]
    talk = tmp_path / "celltalk.csv"
    talk.write_text(
        "lr_pair,ligand_gene_symbol,receptor_gene_symbol\nW_F,Wnt3,Fzd6\nW_F,Wnt3,Fzd6\n"
    )
    assert read_pairs(talk, has) == [(("Wnt3",), ("Fzd6",), "")]
    liana = tmp_path / "liana.csv.gz"
    with gzip.open(liana, "wt") as file:
        file.write(
            "source_genesymbol,target_genesymbol,resource\nA,ITGA8_ITGB1,consensus\nB,C,italk\n"
        )
    assert read_pairs(liana, has) == [(("A",), ("ITGA8", "ITGB1"), "")]
    assert read_pairs(liana, has, "italk") == [(("B",), ("C",), "")]
    own = tmp_path / "own.tsv"
    own.write_text("# mine\nligand\treceptor\nH2_T22\tCd8a+Cd8b1\n")
    assert read_pairs(own, has) == [(("H2_T22",), ("Cd8a", "Cd8b1"), "")]
    assert subunits("", has) == ()


def test_tables_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no table of ligand-receptor pairs"):
        table_in(tmp_path / "pairs", "")
    (tmp_path / "a.csv").write_text("gene,other\nA,B\n")
    (tmp_path / "b.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "notes.txt").write_text("x")
    assert list_tables(tmp_path) == ["a.csv", "b.csv.gz"]
    assert table_in(tmp_path, "").name == "a.csv"
    with pytest.raises(BadRequest, match="Tables are a.csv"):
        table_in(tmp_path, "../a.csv")
    with pytest.raises(BadFile, match="no columns of ligands"):
        read_pairs(tmp_path / "a.csv", has)
    with pytest.raises(BadFile, match="cannot be read"):
        read_pairs(tmp_path / "b.csv.gz", has)


def test_who_touches_whom_by_hand() -> None:
    # 0 touches 1 and 2; 3 touches nobody and is held with 5, the nearest that is free too.
    xy = np.array([[0, 0], [10, 0], [0, 20], [500, 0], [900, 0], [600, 0]])
    types = np.array([0, 1, 1, 0, 1, 1])
    found = meet([(xy, types), (xy, types)], 0, 1, 30.0)
    assert found.touching.tolist() == [0, 6]
    assert found.with_touching[0].toarray().ravel()[:6].tolist() == [0, 0.5, 0.5, 0, 0, 0]
    assert found.apart.tolist() == [3, 9]
    assert found.with_apart[1].indices.tolist() == [11]


def test_a_cell_does_not_touch_itself() -> None:
    xy = np.array([[0, 0], [10, 0], [500, 0], [800, 0]])
    found = meet([(xy, np.zeros(4, int))], 0, 0, 30.0)
    assert found.touching.tolist() == [0, 1]
    assert found.with_touching.indices.tolist() == [1, 0]
    assert found.with_apart.indices.tolist() == [3, 2]


def tissue(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1500, (1500, 2)), rng.integers(0, 3, 1500)


def test_values_at_random_are_rarely_called() -> None:
    called = 0
    for seed in range(3):
        xy, types = tissue(seed)
        rng = np.random.default_rng(seed + 10)
        table = rng.gamma(1.0, 1.0, (1500, 60))
        met = meet([(xy, types)], 0, 1, 30.0)
        pairs = [([g], [(g + 7) % 60]) for g in range(60)]
        tests = compare_pairs(
            met, types == 0, types == 1, pairs, lambda g, t=table: t[:, g], PARAMS
        )
        called += int((adjusted([t.p for t in tests]) < 0.05).sum())
    assert called <= 0.05 * 180


def test_a_planted_ligand_is_found_and_spill_over_is_pointed_at() -> None:
    xy, types = tissue(5)
    met = meet([(xy, types)], 0, 1, 30.0)
    rng = np.random.default_rng(5)
    table = rng.gamma(2.0, 0.5, (1500, 4))
    table[met.touching, 0] += 2.0  # a ligand of touching cells
    table[types == 1, 2] += 3.0  # more of it in the partner: it may have spilled over
    pairs = [([0], [1]), ([2], [3])]
    tests = compare_pairs(met, types == 0, types == 1, pairs, lambda g: table[:, g], PARAMS)
    assert tests[0].p < 1e-6
    assert tests[0].effect > 0.5
    assert not tests[0].may_be_spill
    assert tests[1].may_be_spill
    assert tests[0].n_touching == len(met.touching)


def test_complexes_by_hand() -> None:
    two = np.array([[1.0, 4.0], [0.0, 9.0]])
    assert combined(two, "geometric").tolist() == [2.0, 0.0]
    assert combined(two, "min").tolist() == [1.0, 0.0]


def test_constant_values_are_no_difference_and_few_cells_no_test() -> None:
    xy, types = tissue(6)
    met = meet([(xy, types)], 0, 1, 30.0)
    test = compare_pairs(
        met, types == 0, types == 1, [([0], [0])], lambda g: np.ones((1500, len(g))), PARAMS
    )[0]
    assert (test.p, test.effect) == (1.0, 0.0)
    few = meet([(xy[:20], types[:20])], 0, 1, 30.0)
    with pytest.raises(TooFewCells, match="needed of both"):
        compare_pairs(few, types[:20] == 0, types[:20] == 1, [([0], [0])], lambda g: xy, PARAMS)
    with pytest.raises(BadRequest, match="complexes is 'sum'"):
        LigandParams(**{"complexes": "sum"}).checked()
