"""What a job asked for, as the parameters of a run: types checked, all faults at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from backend.core.errors import BadRequest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Params = TypeVar("Params", bound="DataclassInstance")


def params_of(kind: type[Params], asked: Mapping[str, Any]) -> Params:
    """Return the dataclass ``kind`` filled from a job's parameters; others are passed over.

    Every field needs a default; a value must be of its type, a whole number may stand for a
    decimal one, a list for a tuple.

    Raises
    ------
    BadRequest
        Naming every value of a wrong type.
    """
    plain = kind()
    given: dict[str, Any] = {}
    wrong = []
    for field in fields(kind):
        if field.name not in asked:
            continue
        default, value = getattr(plain, field.name), asked[field.name]
        if not _fits(value, default):
            wrong.append(f"{field.name} is {value!r:.60}, such as {default!r:.60} was expected")
        given[field.name] = tuple(value) if isinstance(default, tuple) else value
    if wrong:
        raise BadRequest(f"Parameters cannot be read: {'; '.join(wrong)}.")
    return kind(**given)


def text_of(asked: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return a text among a job's parameters.

    Raises
    ------
    BadRequest
    """
    value = asked.get(name, default)
    if not isinstance(value, str):
        raise BadRequest(f"'{name}' is not a text.", f"Send {name} as a text.")
    return value


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(isinstance(v, str | int) for v in value)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
