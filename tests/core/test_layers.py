from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import BadRequest
from backend.core.layers import KINDS, LayerKey, Trust


@given(st.sampled_from(list(KINDS)), st.text(min_size=1))
def test_a_key_survives_its_own_spelling(kind: str, name: str) -> None:
    key = LayerKey.parse(f"{kind}:{name}")
    assert LayerKey.parse(str(key)) == key
    assert (key.kind, key.name) == (kind, name)


@pytest.mark.parametrize("text", ["region", "wrong:region", "label:", ":", ""])
def test_a_text_that_names_no_layer_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadRequest, match=r"kind:name.*label:region"):
        LayerKey.parse(text)


@pytest.mark.parametrize(
    ("figure", "baseline", "grade"),
    [(0.82, 0.34, "strong"), (0.4, 0.2, "fair"), (0.6, 0.58, "weak"), (0.15, 0.0, "weak")],
)
def test_trust_is_graded_against_its_baseline(figure: float, baseline: float, grade: str) -> None:
    assert Trust(figure, baseline, "held-out r", "kNN", "").grade == grade
