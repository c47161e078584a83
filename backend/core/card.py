"""Model cards: what a model is and can do. Free of torch, so that the web process may read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing a model does, as shown in the job form."""

    name: str
    title: str
    description: str
    writes: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model, its source and its verbs."""

    name: str
    title: str
    version: str
    citation: str
    verbs: tuple[Verb, ...]
