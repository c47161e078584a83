"""Real sections for merge-and-recover: spots, bins of cells, and images, as published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anndata
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from backend.intake.picture import picture_size
from backend.models.soscope.image_bank import image_bank
from backend.models.soscope.lattice import fit_lattice
from backend.models.soscope.layouts import Layout, joined, merged, subdivided
from backend.runs.enhance_image import TissueImage, stretched, subspot_pixels

#: Share of a block's spots that must be there; sections of tissue have ragged edges.
LEAST = 0.5
#: Genes per set at most, the most abundant ones.
GENES = 1000


@dataclass(frozen=True)
class Fine:
    """One section at its finest: places, counts, and image features or None."""

    xy: NDArray[np.float64]
    counts: csr_matrix
    features: NDArray[np.float32] | None = None
    image: TissueImage | None = None


@dataclass(frozen=True)
class Merged:
    """Merged sections: layout, counts of the subspots, features."""

    layout: Layout
    truth: csr_matrix
    features: NDArray[np.float32] | None

    @property
    def totals(self) -> csr_matrix:
        return csr_matrix(self.layout.sums() @ self.truth)


def merge(sections: list[Fine], origin: int, factor: int = 2) -> Merged:
    """Merge blocks of every section, half empty ones too; genes are the most abundant of all."""
    layouts, counts, features = [], [], []
    for one in sections:
        lattice = fit_lattice(one.xy)
        layout, rows = merged(one.xy, factor, origin, lattice, LEAST)
        layouts.append(layout)
        counts.append(one.counts[rows])
        if one.features is not None:
            features.append(one.features[rows])
    from scipy.sparse import vstack

    whole = csr_matrix(vstack(counts, format="csr"), dtype=np.float64)
    total = np.asarray(whole.sum(axis=0)).ravel()
    keep = np.sort(np.argsort(-total, kind="stable")[:GENES])
    keep = keep[total[keep] > 0]
    image = np.concatenate(features) if features else None
    return Merged(joined(layouts), csr_matrix(whole[:, keep]), image)


def native(one: Fine, factor: int = 2) -> Merged:
    """Return a section with an image as it is used: its spots cut, without a truth."""
    assert one.image is not None
    layout = subdivided(one.xy, factor)
    places, pitch = subspot_pixels(one.image.spots, layout)
    seen = one.image.read()
    features = image_bank(seen.rgb, seen.places(places), pitch / seen.reduced)[0]
    shares = csr_matrix(one.counts[layout.parent] / factor**2)
    return Merged(layout, shares, features)


def looked_at(block: Merged, way: str) -> NDArray[np.float32]:
    """Return the features of the image in a wrong place.

    Parameters
    ----------
    block : Merged
    way : "turned", "mirrored", "moved" or "shuffled"
        By 180 degrees; left for right; by four spots aslant; subspots at random.
    """
    assert block.features is not None
    order = np.arange(len(block.features))
    section = block.layout.subspot_section
    for s in np.unique(section):
        own = np.flatnonzero(section == s)
        places = block.layout.xy[own]
        around = places.min(axis=0) + places.max(axis=0)
        goes = {
            "turned": around - places,
            "mirrored": np.column_stack([around[0] - places[:, 0], places[:, 1]]),
            "moved": places + 4 * block.layout.pitches[s] / np.sqrt(2),
        }.get(way)
        if goes is None:
            order[own] = np.random.default_rng(1).permutation(own)
        else:
            order[own] = own[cKDTree(places).query(goes)[1]]
    return block.features[order]


def blinded(sections: list[Fine]) -> list[Fine]:
    return [replace(one, features=None) for one in sections]


def her2st(root: Path, names: str) -> list[Fine]:
    data = anndata.read_h5ad(root / "her2st" / "her2st.h5ad")
    return [
        _spots(data[data.obs["section"] == name], root / "her2st" / f"{name}_HE.jpg")
        for name in names.split("+")
    ]


def bulb(root: Path, names: str) -> list[Fine]:
    folder = root / "st_mouse_olfactory_bulb"
    data = anndata.read_h5ad(folder / "st_mouse_olfactory_bulb.h5ad")
    return [
        _spots(data[data.obs["section"] == name], folder / f"{name}.jpg")
        for name in names.split("+")
    ]


def embryo(root: Path) -> list[Fine]:
    folder = root / "dbit_ffpe_embryo"
    data = anndata.read_h5ad(folder / "dbit_ffpe_embryo.h5ad")
    xy = np.asarray(data.obsm["spatial"], np.float64)
    picture = folder / "FFPE-2.jpg"
    return [_pictured(data, picture, stretched(xy, picture_size(picture)[::-1]))]


def skin(root: Path) -> list[Fine]:
    data = anndata.read_h5ad(root / "spatial_cite_skin" / "spatial_cite_skin.h5ad")
    kept = data.var["feature_type"].to_numpy() == "protein"
    names = data.var_names.str.lower()
    data = data[:, kept & ~np.asarray(names.str.contains("unmapped"))]
    return [Fine(np.asarray(data.obsm["spatial"], np.float64), _counts(data))]


def spots(root: Path, file: str, section: str = "") -> list[Fine]:
    data = anndata.read_h5ad(root / file)
    if section:
        data = data[data.obs["section"] == section]
    return [Fine(np.asarray(data.obsm["spatial"], np.float64), _counts(data))]


def bins(root: Path, file: str, section: str, side: float) -> list[Fine]:
    """Return cells of a section summed in square bins; empty bins are left out."""
    data = anndata.read_h5ad(root / file)
    if section:
        data = data[data.obs["section"] == section]
    xy = np.asarray(data.obsm["spatial"], np.float64)
    place = np.floor((xy - xy.min(axis=0)) / side).astype(np.int64)
    code, member = np.unique(place[:, 0] * 100_000 + place[:, 1], return_inverse=True)
    add = csr_matrix((np.ones(len(xy)), (member, np.arange(len(xy)))), shape=(len(code), len(xy)))
    centres = np.column_stack([code // 100_000, code % 100_000]) * side
    return [Fine(centres.astype(np.float64), csr_matrix(add @ _counts(data)))]


def _spots(data: anndata.AnnData, picture: Path) -> Fine:
    if picture.exists():
        return _pictured(data, picture, np.asarray(data.obsm["pixel"], np.float64))
    return Fine(np.asarray(data.obsm["spatial"], np.float64), _counts(data))


def _pictured(data: anndata.AnnData, picture: Path, pixels: NDArray[np.float64]) -> Fine:
    """Return a section with its image and the features at its spots."""
    xy = np.asarray(data.obsm["spatial"], np.float64)
    image = TissueImage(picture_size(picture), pixels, picture.name, picture)
    seen = image.read()
    features = image_bank(seen.rgb, seen.places(pixels), fit_lattice(pixels).pitch / seen.reduced)
    return Fine(xy, _counts(data), features[0], image)


def _counts(data: anndata.AnnData) -> csr_matrix:
    return csr_matrix(data.X, dtype=np.float64)


def _sets() -> dict[str, tuple[Callable[[Path], list[Fine]], int]]:
    found: dict[str, tuple[Callable[[Path], list[Fine]], int]] = {}
    for names in ("C2", "C3", "C4", "C5", "C2+C3+C4+C5", "B4"):
        found[f"her2st {names} H&E"] = partial(her2st, names=names), 2
    for names in ("MOB1", "MOB2", "MOB3", "MOB1+MOB2+MOB3"):
        found[f"bulb {names} H&E"] = partial(bulb, names=names), 2
    found["embryo DBiT image"] = embryo, 2
    for name in ("A1", "A2", "B1", "B2", "B3", "B5", "B6", "C1", "D1", "D2", "E1", "F1"):
        found[f"her2st {name}"] = partial(her2st, names=name), 2
    serial = "st_breast_serial/st_breast_serial.h5ad"
    found["ST breast layer1"] = partial(spots, file=serial, section="layer1"), 2
    labelled = "st_mouse_olfactory_bulb/st_mob_rep11_labelled.h5ad"
    found["bulb replicate 11"] = partial(spots, file=labelled), 2
    found["skin proteins"] = skin, 2
    pair = "xenium_visium_pair/xenium_left.h5ad"
    found["Xenium left 40 um"] = partial(bins, file=pair, section="", side=40.0), 2
    found["Xenium left 20 um, 3x3"] = partial(bins, file=pair, section="", side=20.0), 3
    rois = "xenium_breast/xenium_breast_rois.h5ad"
    for name in ("roi_charmander", "roi_pikachu"):
        found[f"Xenium {name} 40 um"] = partial(bins, file=rois, section=name, side=40.0), 2
    found["MERFISH MOp slice1 50 um"] = (
        partial(bins, file="merfish_mop/merfish_mop.h5ad", section="slice1", side=50.0), 2,
    )  # fmt: skip
    found["ISS brain 100 um"] = (
        partial(bins, file="iss_coronal/iss_coronal_cells.h5ad", section="", side=100.0), 2,
    )  # fmt: skip
    return found


SETS = _sets()
