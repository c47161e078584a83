"""Labels of a table of cells: which column has which role, and what its values become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from backend.core.data import Label
from backend.core.layers import MISSING, Category
from backend.intake.mapping import GUESSES, LabelMap

#: Text columns with more different values than this are ids, not labels.
MOST_CATEGORIES = 10_000
#: Values that mean missing wherever they stand.
BLANK = frozenset({"", "nan", "NaN", "None", "NA", "N/A", "<NA>", "null"})


def guess_labels(obs: pd.DataFrame) -> dict[str, LabelMap]:
    """Return a label for every role that a column name speaks of."""
    found = {}
    for role, names in GUESSES.items():
        column = next((n for n in names if n in obs and is_label(obs[n])), None)
        if column is not None:
            found[role] = LabelMap(column)
    return found


def is_label(values: pd.Series) -> bool:
    """Return whether a column holds names of classes: text or categories, not too many."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return 0 < len(values.cat.categories) <= MOST_CATEGORIES
    text = pd.api.types.is_string_dtype(values) or values.dtype == object
    return bool(text) and 0 < values.nunique() <= min(MOST_CATEGORIES, max(2, len(values) // 2))


def label_of(values: pd.Series, label: LabelMap, colours: Sequence[str] = ()) -> Label:
    """Return the codes and categories of a column.

    Parameters
    ----------
    values : (n,) Series
        Categories, text, numbers or truth values.
    label : LabelMap
    colours : sequence of str
        Colours of the column's categories in their order, as scanpy keeps them.

    Returns
    -------
    Label
        Categories in use only, sorted by name; a colour is empty where the file has none.
    """
    column = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
    sources = [str(c).strip() for c in column.cat.categories]
    theirs = dict(zip(sources, colours, strict=False)) if len(colours) >= len(sources) else {}
    targets = [_target(name, label) for name in sources]
    codes = column.cat.codes.to_numpy()
    seen = {targets[i] for i in np.unique(codes[codes >= 0])} - {None}
    names = sorted(name for name in seen if name is not None)
    place: Mapping[str | None, int] = {name: i for i, name in enumerate(names)}
    table = np.array([place.get(target, MISSING) for target in targets] + [MISSING], np.int16)
    by_name = {
        target: _hex(theirs.get(source, ""))
        for source, target in zip(sources, targets, strict=True)
    }
    categories = tuple(
        Category(n, label.colours.get(n, "") or by_name.get(n, ""), label.parents.get(n))
        for n in names
    )
    return Label(table[codes], categories)


def with_parents(obs: pd.DataFrame, labels: Mapping[str, LabelMap]) -> dict[str, LabelMap]:
    """Return the labels with the parents that another label of the same cells gives."""
    return {
        role: replace(label, parents={**_majority(obs, label, labels[label.parent_from]),
                                      **label.parents})
        if label.parent_from in labels
        else label
        for role, label in labels.items()
    }  # fmt: skip


def _majority(obs: pd.DataFrame, child: LabelMap, parent: LabelMap) -> dict[str, str]:
    """Return the commonest parent among the cells of each class, ties to the first by name."""
    own, above = label_of(obs[child.column], child), label_of(obs[parent.column], parent)
    both = (own.codes >= 0) & (above.codes >= 0)
    n = len(above.categories)
    if not both.any():
        return {}
    place = own.codes[both].astype(np.int64) * n + above.codes[both]
    table = np.bincount(place, minlength=len(own.categories) * n).reshape(-1, n)
    return {
        category.name: above.categories[int(row.argmax())].name
        for category, row in zip(own.categories, table, strict=True)
        if row.any()
    }


def _target(name: str, label: LabelMap) -> str | None:
    """Return what a value of the file becomes, None where it means missing."""
    if name in label.drop or name in BLANK:
        return None
    return label.names.get(name, name)


def _hex(colour: str) -> str:
    """Return #rrggbb of a colour of a file, empty where it is of another form."""
    text = str(colour).lower()
    if text.startswith("#") and len(text) in (7, 9):
        return text[:7]
    return ""
