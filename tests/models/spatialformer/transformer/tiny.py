"""A tiny transformer and cells for it."""

from __future__ import annotations

import numpy as np

from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.size import Size
from backend.models.spatialformer.transformer.vocabulary import Vocabulary, make_vocabulary

GENES = tuple(f"G{i:02d}" for i in range(30))


def vocabulary() -> Vocabulary:
    return make_vocabulary([GENES], [{"species": "mouse"}])


def tiny_size(**other) -> Size:
    values = {"width": 16, "blocks": 2, "heads": 4, "longest": 61, "co_rank": 4, "kernel": 5,
              "apart": 1, "dropout": 0.0, "drop_path": 0.0}  # fmt: skip
    return Size(len(vocabulary()), **{**values, **other})


def tiny_pretrained(**other) -> Pretrained:
    model = Former(tiny_size(**other), seed=3).eval()
    return Pretrained(model, vocabulary(), np.ones(len(vocabulary()), np.float32), {})


def random_cells(n: int, seed: int, longest: int = 12) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    first = vocabulary().first_gene
    return [first + random.permutation(30)[: random.integers(3, longest)] for _ in range(n)]
