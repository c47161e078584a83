"""The build configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.build.config import BuildConfig
from backend.core.errors import BadRequest

ROOT = Path(__file__).resolve().parents[2]


def load(tmp_path: Path, text: str) -> BuildConfig:
    (tmp_path / "build.yaml").write_text(text)
    return BuildConfig.load(tmp_path / "build.yaml")


def test_shared_parents_and_defaults_reach_every_set(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
name: t
defaults: {species: rat}
parents: {region: {L1: Cortex}}
sets:
  - path: a.h5ad
    labels: {region: layer, type: {column: t, map: {1: one}, drop: [x], parents: {one: p}}}
    skip: [3]
  - {path: b.h5ad, species: mouse, notes: one note}
""",
    )
    (first, a), (_, b) = config.sets
    assert first == tmp_path / "a.h5ad"
    assert a.labels is not None
    assert (a.species, a.labels["region"].column) == ("rat", "layer")
    assert a.labels["region"].parents == {"L1": "Cortex"}
    assert a.labels["type"].names == {"1": "one"}
    assert a.skip == {"3"}
    assert (b.species, b.labels, b.notes) == ("mouse", None, ("one note",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sets: [{path: a, lables: {}}]", "'lables' is not a known key. Did you mean labels"),
        ("sets: [{labels: {}}]", "no path"),
        ("sets: [{path: a, labels: {type: {map: {}}}}]", "names no column"),
        ("names: 3", "no list 'sets'"),
        ("a: [", "cannot be read"),
        ("sets: [{path: a, numbers: {type: p}}]", "not of the form kind:name"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words.replace("[", r"\[")):
        load(tmp_path, text)


def test_the_configuration_of_the_brain_can_be_read() -> None:
    config = BuildConfig.load(ROOT / "backend/build/brain.yaml")
    assert config.name == "Mouse brain"
    assert len(config.sets) == 18
