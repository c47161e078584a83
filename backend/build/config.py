"""The build configuration: a YAML file that says how each file becomes sections.

Keys of the file are those of ``BuildConfig``, keys of a set those of ``ReadMapping`` with ``path``;
a label is a column name, or ``{column, map, drop, parents, parent_from, colours}``. ``parents`` and
``colours`` at the top hold for the labels of all sets, and ``defaults`` for all sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from backend.core.errors import BadRequest, did_you_mean
from backend.core.layers import LayerKey
from backend.intake.mapping import LabelMap, ReadMapping

_SET_KEYS = {f.name for f in fields(ReadMapping)}
_LABEL_KEYS = {"column", "map", "drop", "parents", "colours", "parent_from"}
_TOP_KEYS = {"name", "defaults", "parents", "colours", "sets", "shared"}


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """What to build: a name, and files with the way each is read."""

    name: str
    sets: tuple[tuple[Path, ReadMapping], ...]

    @classmethod
    def of_files(
        cls, name: str, files: Sequence[Path], embedding: str | None = None
    ) -> BuildConfig:
        """Return the configuration of files that are read without further instructions."""
        return cls(name, tuple((Path(file), ReadMapping(embedding=embedding)) for file in files))

    @classmethod
    def load(cls, path: Path, root: Path | None = None) -> BuildConfig:
        """Return the configuration of a YAML file.

        Parameters
        ----------
        path : Path
        root : Path, optional
            Folder that the paths of the sets start from; that of the file where None.

        Raises
        ------
        BadRequest
            If the file cannot be read, or a key is not known.
        """
        try:
            text = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise BadRequest(
                f"The configuration {path} cannot be read: {error}.", "Correct the file."
            ) from error
        if not isinstance(text, dict) or not isinstance(text.get("sets"), list):
            raise BadRequest(f"{path} has no list 'sets'.", "See backend/build/brain.yaml.")
        _known(text, _TOP_KEYS, str(path))
        base = root if root is not None else path.parent
        shared = (text.get("parents") or {}, text.get("colours") or {})
        sets = []
        for entry in text["sets"]:
            record = {**(text.get("defaults") or {}), **entry}
            if "path" not in record:
                raise BadRequest(f"A set of {path} has no path.", "Name its file.")
            where = f"{path.name}, set {record['path']}"
            sets.append((base / record.pop("path"), mapping_of(record, where, *shared)))
        return cls(str(text.get("name", path.stem)), tuple(sets))


def mapping_of(
    record: Mapping[str, Any],
    where: str,
    parents: Mapping[str, Mapping[str, str]],
    colours: Mapping[str, Mapping[str, str]],
) -> ReadMapping:
    """Return the mapping of one set of the configuration."""
    _known(record, _SET_KEYS, where)
    values = dict(record)
    if "labels" in values:
        values["labels"] = {
            role: _label(entry, f"{where}, label {role}", parents.get(role), colours.get(role))
            for role, entry in (values["labels"] or {}).items()
        }
    for key in values.get("numbers") or {}:
        LayerKey.parse(key)
    for key in ("skip", "only"):
        values[key] = frozenset(str(v) for v in values.get(key) or ())
    notes = values.get("notes") or ()
    values["notes"] = (notes,) if isinstance(notes, str) else tuple(notes)
    return ReadMapping(**values)


def _label(
    entry: Any,
    where: str,
    parents: Mapping[str, str] | None,
    colours: Mapping[str, str] | None,
) -> LabelMap:
    record: dict[str, Any] = {"column": entry} if isinstance(entry, str) else dict(entry)
    _known(record, _LABEL_KEYS, where)
    if "column" not in record:
        raise BadRequest(f"{where} names no column.", "Name the column that holds it.")
    return LabelMap(
        column=record["column"],
        names={str(k): str(v) for k, v in (record.get("map") or {}).items()},
        drop=frozenset(str(v) for v in record.get("drop") or ()),
        parents={**(parents or {}), **(record.get("parents") or {})},
        colours={**(colours or {}), **(record.get("colours") or {})},
        parent_from=record.get("parent_from", ""),
    )


def _known(record: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in record:
        if key not in keys:
            raise BadRequest(
                f"{where}: '{key}' is not a known key.",
                did_you_mean(str(key), keys) or f"Known are {', '.join(sorted(keys))}.",
            )
