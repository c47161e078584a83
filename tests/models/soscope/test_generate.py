import numpy as np
import pytest

from backend.core.errors import TooLarge
from backend.core.job import RunContext
from backend.models.soscope import generate
from backend.models.soscope.enhance import enhance_layout
from backend.models.soscope.generate import DEFAULT, GENERATIVE, generate_layout, loses
from tests.models.soscope.planted import planted


def test_generated_subspots_stand_beside_the_default_mode_and_keep_the_sums() -> None:
    section = planted(side=12, genes=8)
    modality = np.repeat([0, 1], [5, 3])
    layout, totals = section.layout, section.totals
    base = enhance_layout(layout, totals, RunContext(), modality=modality)
    found, made = generate_layout(
        layout, totals, base, RunContext(), features=None, modality=modality, law="poisson", seeds=1
    )
    assert found.method == "generative"
    np.testing.assert_allclose(layout.sums() @ found.split, totals.toarray(), rtol=1e-5)
    assert len(made.rates) == 2
    assert len(made.divergence) == 1
    assert found.merge is not None
    assert {GENERATIVE, DEFAULT} <= {m["name"] for m in found.merge.methods}
    assert np.corrcoef(found.rate[:, 0], section.expected[:, 0])[0, 1] > 0.3


def test_it_says_so_where_it_loses() -> None:
    rows = [{"name": DEFAULT, "gain_r": 0.02}, {"name": GENERATIVE, "gain_r": 0.01}]
    assert loses(rows)
    assert not loses(rows[:1])


def test_more_than_can_be_trained_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "MOST_VALUES", 100)
    section = planted(side=12, genes=8)
    base = enhance_layout(section.layout, section.totals, RunContext(), check=False)
    with pytest.raises(TooLarge, match="144 subspots and 8 genes"):
        generate_layout(
            section.layout, section.totals, base, RunContext(), features=None,
            modality=np.zeros(8, np.int64), law="nb", seeds=1,
        )  # fmt: skip
