"""Multi-omics sections from files: .h5mu, one .h5ad per modality, or one with a feature type.

Modalities are joined by the names of their spots. Where names differ or are in another order the
file is refused with a remedy; nothing is reordered silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import Label, Modality, ModalityKind, SectionData
from backend.core.errors import BadFile, BadRequest, Fault
from backend.core.settings import Limits
from backend.intake.labels import guess_labels, label_of
from backend.intake.mapping import LabelMap, ReadMapping, safe_id
from backend.intake.source import NO_COORDINATES, Source, source_of
from backend.intake.structure import check_signature, check_structure, unreadable

Align = Literal["strict", "name", "union"]
#: Columns of var that tell modalities of one matrix apart.
TYPE_COLUMNS = ("feature_type", "feature_types", "modality", "modality_type")
#: Fields of obsm with features of the tissue image.
IMAGE_FIELDS = ("image_features", "X_image", "image", "X_image_features")
#: Words in names of modalities that tell their kind, tried in this order.
WORDS: tuple[tuple[ModalityKind, tuple[str, ...]], ...] = (
    ("protein", ("protein", "adt", "antibody", "prot")),
    ("atac", ("atac", "peak", "chromatin", "h3k", "cut&tag", "epigen")),
    ("rna", ("rna", "gene expression", "gex", "transcript", "expression", "genes")),
    ("image", ("image", "histolog")),
    ("other", ("metabol", "lipid", "other")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One modality as its file has it; ``place`` names file and field for messages."""

    name: str
    kind: ModalityKind
    spots: NDArray[Any]
    xy: NDArray[np.float64] | None
    values: csr_matrix | NDArray[np.float32]
    features: tuple[str, ...]
    labels: Mapping[str, Label]
    uns: Mapping[str, str]
    place: str


def read_multiomics(
    paths: Sequence[Path],
    *,
    align: Align = "strict",
    kinds: Mapping[str, str] | None = None,
    labels: Sequence[str] = (),
    mapping: ReadMapping | None = None,
    limits: Limits | None = None,
) -> SectionData:
    """Return one section with all modalities of the files.

    Parameters
    ----------
    paths : sequence of Path
        One .h5mu file; one .h5ad file whose var tells modalities apart (or with one modality); or
        several .h5ad files, one modality each.
    align : "strict", "name" or "union"
        Spots of all modalities must be the same in the same order; or those are kept that all
        have, in the order of the first; or all are kept, and a modality is missing where a spot
        does not have it.
    kinds : mapping of modality to kind, optional
        Where the name does not tell: rna, protein, atac, image or other.
    labels : sequence of str
        Further columns of obs to read as labels.
    mapping : ReadMapping, optional
        How coordinates, counts and names are found.
    limits : Limits, optional

    Raises
    ------
    BadFile
        With all that is wrong with the files.
    BadRequest
        If a kind is unknown, or no file is named.
    """
    if not paths:
        raise BadRequest("No file is named.", "Give DATA.h5mu, or one .h5ad file per modality.")
    wanted, bounds = mapping or ReadMapping(), limits or Limits()
    parts: list[Part] = []
    faults: list[Fault] = []
    with ExitStack() as stack:
        for path in paths:
            file = stack.enter_context(_open(path, bounds))
            parts += _parts(path, file, wanted, tuple(labels), faults)
    parts = _named_apart(_with_kinds(parts, kinds or {}))
    name = " and ".join(p.name for p in paths)
    if any(p.xy is not None for p in parts):  # one file's coordinates do for all
        faults = [f for f in faults if not f.what.startswith(NO_COORDINATES)]
    faults += _alignment_faults(parts, align)
    if faults:
        raise BadFile(name, faults)
    return _section(paths[0], parts, align, wanted)


def kind_of(name: str) -> ModalityKind | None:
    """Return the kind that the name of a modality tells, or None."""
    plain = name.lower().replace("_", " ")
    return next((kind for kind, words in WORDS if any(w in plain for w in words)), None)


def _open(path: Path, limits: Limits) -> h5py.File:
    """Open a file after a look at what it declares: links that lead elsewhere are refused."""
    if not path.is_file():
        raise BadFile(path.name, [Fault("there is no such file", str(path), "a file", "Check it.")])
    finding = check_signature(path)
    if finding is not None:
        raise BadFile(path.name, [finding.as_fault()])
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadFile(path.name, [unreadable(error).as_fault()]) from error
    found = check_structure(file, limits)
    if found:
        file.close()
        raise BadFile(path.name, [f.as_fault() for f in found])
    return file


def _parts(
    path: Path,
    file: h5py.File,
    mapping: ReadMapping,
    labels: tuple[str, ...],
    faults: list[Fault],
) -> list[Part]:
    """Return the modalities of one file."""
    if not isinstance(file.get("mod"), h5py.Group):
        return list(_split(path, path.stem, file, mapping, labels, faults))
    shared = _shared_places(path, file, mapping)
    found = []
    for name in _order(file["mod"]):
        own: list[Fault] = []
        parts = list(_split(path, name, file["mod"][name], mapping, labels, own))
        if shared is not None:
            own = [f for f in own if not f.what.startswith(NO_COORDINATES)]
            parts = [_placed(p, *shared) for p in parts]
        found += parts
        faults += own
    if not found:
        faults.append(
            Fault("there is no modality", f"{path.name}: mod", "at least one modality",
                  "Save it again with mudata: mdata.write('data.h5mu').")
        )  # fmt: skip
    return found


def _order(mods: h5py.Group) -> list[str]:
    """Modalities in the order that the file states, else by name."""
    stated = [str(n) for n in np.atleast_1d(mods.attrs.get("mod-order", []))]
    return [n for n in stated if n in mods] + [n for n in sorted(mods) if n not in stated]


def _shared_places(
    path: Path, file: h5py.File, mapping: ReadMapping
) -> tuple[NDArray[Any], NDArray[np.float64]] | None:
    """Return names and coordinates that an h5mu file keeps once for all modalities."""
    if "obs" not in file or "obsm" not in file:
        return None
    view = {"obs": file["obs"], "obsm": file["obsm"], "var": file["var"]}
    source = source_of(path, view, replace(mapping, symbol=None))
    return None if source.xy is None else (_names(source.obs), source.xy)


def _placed(part: Part, spots: NDArray[Any], xy: NDArray[np.float64]) -> Part:
    """Return a modality with the coordinates of the file where it has none of its own."""
    if part.xy is not None:
        return part
    place = pd.Index(spots).get_indexer(pd.Index(part.spots))
    own = np.where(place[:, None] >= 0, xy[place], np.nan)
    return replace(part, xy=own)


def _split(
    path: Path,
    name: str,
    node: h5py.Group,
    mapping: ReadMapping,
    labels: tuple[str, ...],
    faults: list[Fault],
) -> Iterator[Part]:
    """Yield the modalities of one matrix, apart by the feature type of its columns."""
    source = source_of(path, node, mapping)
    faults += source.faults
    stored, field = source.counts()
    matrix = stored.rows(np.arange(stored.shape[0]))
    place = f"{path.name}: {field}" if name == path.stem else f"{path.name}: mod/{name}/{field}"
    spots = _names(source.obs)
    read = _labels(source, labels, faults)

    def part(own: str, kind: ModalityKind, values: Any, features: tuple[str, ...]) -> Part:
        return Part(own, kind, spots, source.xy, values, features, read, source.uns, place)

    types = _feature_types(node)
    if types is None or len(set(types.tolist())) == 1:
        hints = ("" if types is None else types[0], name, source.uns.get("technology", ""))
        told = [kind for kind in map(kind_of, hints) if kind is not None]
        kind = told[0] if told else "rna"
        yield part(name if name != path.stem else kind, kind, matrix, source.symbols)
    else:
        for own in dict.fromkeys(types.tolist()):
            columns = np.flatnonzero(types == own)
            features = tuple(source.symbols[j] for j in columns)
            kind = kind_of(own) or "other"
            yield part(kind if kind != "other" else own, kind, matrix[:, columns], features)
    image = _image(node, len(spots))
    if image is not None:
        features = tuple(f"image {j + 1}" for j in range(image.shape[1]))
        yield part("image", "image", image, features)


def _feature_types(node: h5py.Group) -> NDArray[Any] | None:
    """Return the feature type of every column where the file states it."""
    from anndata.io import read_elem

    for name in TYPE_COLUMNS:
        if name in node["var"]:
            values = pd.Series(read_elem(node["var"][name])).astype(str).to_numpy(object)
            if len(values):
                return values
    return None


def _image(node: h5py.Group, n: int) -> NDArray[np.float32] | None:
    """Return image features of the spots where the file has them."""
    obsm = node.get("obsm")
    for name in IMAGE_FIELDS if isinstance(obsm, h5py.Group) else ():
        field = obsm.get(name)
        good = isinstance(field, h5py.Dataset) and field.ndim == 2 and field.dtype.kind in "fiu"
        if good and field.shape[0] == n and field.shape[1] > 2:
            return np.asarray(field[:], np.float32)
    return None


def _names(obs: pd.DataFrame) -> NDArray[Any]:
    return obs.index.to_numpy().astype(str).astype(object)


def _labels(source: Source, wanted: tuple[str, ...], faults: list[Fault]) -> dict[str, Label]:
    """Return guessed labels, and the columns that were asked for under their own names."""
    maps = guess_labels(source.obs)
    maps |= {name: LabelMap(name) for name in wanted if name in source.obs}
    return {
        role: label_of(source.obs[m.column], m, source.colours.get(m.column, ()))
        for role, m in maps.items()
    }


def _with_kinds(parts: list[Part], kinds: Mapping[str, str]) -> list[Part]:
    known: dict[str, ModalityKind] = {kind: kind for kind in get_args(ModalityKind)}
    for name, kind in kinds.items():
        if kind not in known:
            raise BadRequest(
                f"Kind '{kind[:40]}' of modality '{name[:40]}' is not known.",
                f"Kinds are {', '.join(known)}.",
            )
        if name not in [p.name for p in parts]:
            raise BadRequest(
                f"There is no modality '{name[:40]}'.",
                f"There are {', '.join(p.name for p in parts)}.",
            )
    return [replace(p, kind=known[kinds[p.name]]) if p.name in kinds else p for p in parts]


def _named_apart(parts: list[Part]) -> list[Part]:
    """Return modalities with names of their own; the second of a name gets a number."""
    seen: dict[str, int] = {}
    out = []
    for part in parts:
        seen[part.name] = count = seen.get(part.name, 0) + 1
        out.append(part if count == 1 else replace(part, name=f"{part.name} {count}"))
    return out


def _alignment_faults(parts: Sequence[Part], align: Align) -> Iterator[Fault]:
    """Yield what keeps the modalities from being put side by side."""
    for part in parts:
        twice = len(part.spots) - len(set(part.spots.tolist()))
        if twice and len(parts) > 1:
            yield Fault(f"{twice:,} names of spots repeat", part.place, "a name per spot",
                        "adata.obs_names_make_unique()")  # fmt: skip
    for part in parts[1:]:
        first = parts[0]
        shared = len(set(first.spots.tolist()) & set(part.spots.tolist()))
        if not shared:
            yield Fault(
                f"none of its {len(part.spots):,} spots is named like a spot of {first.name} "
                f"({part.spots[0]} against {first.spots[0]})", part.place,
                f"the names of {first.name}",
                "Give both the same obs_names if they are the same spots.",
            )  # fmt: skip
        elif align == "strict" and not np.array_equal(first.spots, part.spots):
            yield _unlike(first, part, shared)


def _unlike(first: Part, part: Part, shared: int) -> Fault:
    """Return the fault of spots that differ or are in another order."""
    if shared == len(first.spots) == len(part.spots):
        what = f"its {shared:,} spots are those of {first.name} in another order"
        remedy = "Pass --align name to sort them by name."
    else:
        what = (
            f"{len(part.spots) - shared:,} of its {len(part.spots):,} spots are not in "
            f"{first.name}, and {len(first.spots) - shared:,} of {first.name} are not in it"
        )
        remedy = (
            f"Pass --align name to keep the {shared:,} spots that both have, or --align union to "
            "keep all and treat a modality as missing where a spot lacks it."
        )
    return Fault(what, part.place, f"the spots of {first.name} in the same order", remedy)


def _section(path: Path, parts: Sequence[Part], align: Align, mapping: ReadMapping) -> SectionData:
    """Put modalities side by side."""
    names = _kept(parts, align)
    rows = [pd.Index(p.spots).get_indexer(names) for p in parts]
    xy = np.full((len(names), 2), np.nan)
    for part, own in zip(parts, rows, strict=True):
        if part.xy is not None:
            fresh = (own >= 0) & np.isnan(xy[:, 0])
            xy[fresh] = part.xy[own[fresh]] * mapping.scale
    modalities = tuple(_taken(p, own) for p, own in zip(parts, rows, strict=True))
    labels: dict[str, Label] = {}
    for part, own in zip(parts, rows, strict=True):
        for role, label in part.labels.items():
            codes = np.where(own >= 0, label.codes[own], -1).astype(np.int16)
            labels.setdefault(role, Label(codes, label.categories))
    rna = next((m for m in modalities if m.kind == "rna"), None)
    uns = parts[0].uns
    return SectionData(
        id=safe_id(mapping.id or path.stem),
        title=mapping.title or path.stem,
        xy=xy.astype(np.float32),
        counts=rna.values if rna else csr_matrix((len(names), 0), dtype=np.float32),
        genes=rna.features if rna else (),
        names=names.to_numpy().astype(object),
        labels=labels,
        unit="counts" if rna else "none",
        xy_unit=mapping.xy_unit,
        technology=mapping.technology or uns.get("technology", ""),
        dataset=mapping.dataset or uns.get("dataset", path.stem),
        species=mapping.species or uns.get("organism", ""),
        modalities=modalities,
    )


def _kept(parts: Sequence[Part], align: Align) -> pd.Index:
    names = pd.Index(parts[0].spots)
    if len(parts) == 1 or align == "strict":
        return names
    if align == "union":
        every = dict.fromkeys(name for p in parts for name in p.spots.tolist())
        return pd.Index(list(every))
    for part in parts[1:]:
        names = names[names.isin(part.spots)]
    return names


def _taken(part: Part, rows: NDArray[np.intp]) -> Modality:
    """Rows of a modality in the order of the section; zero where a spot lacks it."""
    present = rows >= 0
    values = part.values[np.where(present, rows, 0)]
    if not present.all():
        keep = present.astype(np.float32)[:, None]
        values = values.multiply(keep).tocsr() if isinstance(values, csr_matrix) else values * keep
    return Modality(part.name, part.kind, values, part.features, present)
