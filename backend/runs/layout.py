"""A plane in which cells of like expression lie side by side: a UMAP of the cell embedding."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Provenance, SectionInfo, TaskResult
from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext
from backend.runs.neighbours import Neighbours
from backend.store import flat, schema
from backend.store.atlas import Atlas
from backend.store.result import write_result
from backend.store.section import provenance_to_json
from backend.tiles.overviews import write_overview

#: Neighbours that the plane is fitted with, and the least distance of points in it.
FIT_NEIGHBOURS, MIN_DIST = 15, 0.3
#: Fitted cells among which each other cell is placed.
NEIGHBOURS = 5
#: Part of its neighbours' spread by which a placed cell is moved at random.
JITTER = 0.35
#: Neighbours farther from the nearest than this many times the second next are on another island.
ISLAND = 3.0
#: Fewest cells that a plane is made of.
LEAST_CELLS = 10
#: Cells placed at a time.
CHUNK = 32_768
#: Where cells without an embedding are put: beyond all others, last along the curve.
OUTSIDE = 1.02
#: Labels that the sample is balanced by; the first that the atlas has.
BALANCED_BY = ("class", "type", "region")
METHOD = (
    "UMAP of the cell embedding, fitted on a sample balanced by section and class; all other cells "
    "placed among their nearest neighbours in it: distance-weighted mean, with a little seeded "
    "jitter. Each axis is stretched to the plane's side."
)

Number = NDArray[np.float32]


def layout_atlas(
    atlas_path: Path | str,
    ctx: RunContext | None = None,
    *,
    name: str = "umap",
    seed: int = 0,
    sample: int = 20_000,
) -> dict[str, Any]:
    """Write a UMAP of the cell embedding into an atlas, as another plane of its cells.

    Parameters
    ----------
    atlas_path : Path
    ctx : RunContext, optional
    name : str
        Of the layout; its tiles are those of section ``layout:<name>``.
    seed : int
        The same seed gives the same plane.
    sample : int
        Cells that the plane is fitted on; all others are placed among them.

    Returns
    -------
    dict
        ``layout``, ``placed``, ``left_out`` (cells without an embedding), ``fitted``, ``version``.

    Raises
    ------
    BadStore
    BadRequest
        If the atlas has no cell embedding.
    TooFewCells
        If fewer than ten cells have one.
    Cancelled
    """
    ctx = ctx or RunContext()
    atlas = Atlas.open(atlas_path)
    places, fitted = _places(atlas, ctx.part(0, 0.9), seed, sample)
    placed = int(np.isfinite(places[:, 0]).sum())
    provenance = _provenance(atlas, seed, fitted)
    ctx.step(0.9, "Writing the plane")
    outside = np.isnan(places[:, 0])
    places[outside] = OUTSIDE
    written = write_result(atlas_path, TaskResult(provenance=provenance), layouts={name: places})
    _describe(written, name, placed, provenance)
    part = ctx.part(0.93, 1.0)
    write_overview(written, name, lambda f: part.step(f, "Writing the overview of the plane"))
    ctx.report(1.0, "Laid out")
    return {
        "layout": name,
        "placed": placed,
        "left_out": int(outside.sum()),
        "fitted": fitted,
        "version": written.version,
    }


def _describe(atlas: Atlas, name: str, placed: int, provenance: Provenance) -> None:
    """Note beside the layout how many cells it has a place for, and where it comes from."""
    folder = atlas.array_path(schema.layout_array(name, "order"))
    assert folder is not None
    about = {"placed": placed, "provenance": provenance_to_json(provenance)}
    flat.set_attributes(Path(str(folder)), about)


def _provenance(atlas: Atlas, seed: int, fitted: int) -> Provenance:
    embedding = atlas.embedding("cell")
    assert embedding is not None
    parameters = {
        "method": METHOD,
        "fitted_cells": fitted,
        "n_neighbors": FIT_NEIGHBOURS,
        "min_dist": MIN_DIST,
        "placed_among": NEIGHBOURS,
        "jitter": JITTER,
        "checkpoint": embedding.checkpoint,
    }
    return Provenance("umap", "0.5.12", parameters, seed, tuple(sorted(embedding.sections)))


def _places(atlas: Atlas, ctx: RunContext, seed: int, sample: int) -> tuple[Number, int]:
    """Return places (N, 2) in 0..1, nan without an embedding; and how many cells were fitted."""
    embedding = atlas.embedding("cell")
    if embedding is None:
        raise BadRequest(
            f"Atlas '{atlas.name}' has no cell embedding to lay out.",
            "Embed it first: python -m backend embed ATLAS.zarr --checkpoint CHECKPOINT",
        )
    infos = [s for s in atlas.sections() if s.id in embedding.sections and s.n_cells]
    total = sum(s.n_cells for s in infos)
    if total < LEAST_CELLS:
        raise TooFewCells(
            f"Atlas '{atlas.name}' has {total} embedded cells.", f"Embed {LEAST_CELLS} or more."
        )
    ctx.step(0.0, "Choosing cells for the plane")
    rows = balanced_rows(atlas, infos, sample, seed)
    fitted = _read(embedding.values, rows) * embedding.scale
    ctx.step(0.02, f"Fitting the plane on {len(rows):,} cells")
    find = Neighbours(fitted, seed)
    plane = fit_plane(fitted, find, seed)
    places = np.full((atlas.n_cells, 2), np.nan, np.float32)
    places[rows] = plane
    if len(rows) < total:
        part, done = ctx.part(0.4, 1.0), 0
        for chunk in _chunks(infos):
            part.step(done / total, f"Placing cells: {done:,} of {total:,}")
            others = np.arange(chunk.start, chunk.stop)[np.isnan(places[chunk, 0])]
            z = _read(embedding.values, others) * embedding.scale
            rng = np.random.default_rng([seed, chunk.start])
            if len(others):
                places[others] = placed_among(plane, *find(z, NEIGHBOURS), rng)
            done += chunk.stop - chunk.start
    return _stretched(places), len(rows)


def balanced_rows(
    atlas: Atlas, infos: list[SectionInfo], sample: int, seed: int
) -> NDArray[np.int64]:
    """Return atlas rows of a sample, ascending, balanced by section and class.

    Of each class in each section, a share that grows as the root of its size.
    """
    name = next((n for n in (*BALANCED_BY, *atlas.labels()) if n in atlas.labels()), None)
    groups: list[NDArray[np.int64]] = []
    for info in infos:
        rows = np.arange(info.first, info.first + info.n_cells)
        if name is None:
            groups.append(rows)
            continue
        codes = np.asarray(atlas.label(name).codes[info.rows])
        order = np.argsort(codes, kind="stable")
        groups += np.split(rows[order], np.flatnonzero(np.diff(codes[order])) + 1)
    rng = np.random.default_rng([seed, len(groups)])
    wanted = _quotas(np.array([len(g) for g in groups]), sample, rng)
    parts = [rng.choice(g, n, replace=False) for g, n in zip(groups, wanted, strict=True) if n]
    return np.sort(np.concatenate(parts))


def _quotas(sizes: NDArray[np.int64], sample: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many cells of each group are drawn: as the root of its size, at most all."""
    if sizes.sum() <= sample:
        return sizes
    share = np.sqrt(sizes)
    wanted = np.minimum(share * sample / share.sum(), sizes)
    for _ in range(8):  # what full groups cannot give goes to the others
        free = wanted < sizes
        if not free.any():
            break
        rest = sample - wanted[~free].sum()
        wanted[free] = np.minimum(share[free] * rest / share[free].sum(), sizes[free])
    found = np.floor(wanted + rng.random(len(sizes)))
    return np.minimum(found, sizes).astype(np.int64)


def fit_plane(z: Number, find: Neighbours, seed: int) -> Number:
    """Return a UMAP of z (n, d), (n, 2); single-threaded, the same for the same seed."""
    n = min(FIT_NEIGHBOURS, len(z) - 1)
    with warnings.catch_warnings():
        # It names packages that it could use, and says that a graph in parts is laid out by part.
        warnings.simplefilter("ignore")
        import umap

        model = umap.UMAP(
            n_neighbors=n,
            min_dist=MIN_DIST,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=find(z, n),
            init="spectral" if len(z) > 10 * n else "random",
        )
        return np.asarray(model.fit_transform(z), dtype=np.float32)


def placed_among(
    plane: Number, near: NDArray[np.int64], distance: Number, rng: np.random.Generator
) -> Number:
    """Return places of cells among fitted neighbours.

    Parameters
    ----------
    plane : (n, 2) float32
        Places of fitted cells.
    near : (m, k) int64
        Neighbours of each cell, -1 where fewer were found; the first is the nearest.
    distance : (m, k) float32
    rng : Generator
        Of the jitter.

    Returns
    -------
    (m, 2) float32
    """
    weight = 1.0 / np.maximum(distance, 1e-6 + 0.1 * distance.mean(axis=1, keepdims=True)) ** 2
    weight = np.where((near >= 0) & np.isfinite(weight), weight, 0.0)
    at = plane[np.maximum(near, 0)]
    # The mean over two islands would lie in the sea between them: those far away do not count.
    off = np.hypot(*np.moveaxis(at - at[:, :1], 2, 0))
    reach = ISLAND * np.sort(off, axis=1)[:, [min(2, off.shape[1] - 1)]]
    weight[off > reach + 1e-6] = 0.0
    weight[:, 0] = np.maximum(weight[:, 0], 1e-12)
    weight /= weight.sum(axis=1, keepdims=True)
    mean = (at * weight[..., None]).sum(axis=1)
    spread = np.sqrt((((at - mean[:, None]) ** 2) * weight[..., None]).sum(axis=(1, 2)))
    noise = rng.standard_normal((len(near), 2)) * JITTER
    return np.asarray(mean + noise * np.minimum(spread, np.median(spread) * 3)[:, None], np.float32)


def _stretched(places: Number) -> Number:
    """Return places with each axis stretched to 0..1."""
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    return np.asarray((places - low) / np.maximum(high - low, 1e-9), dtype=np.float32)


def _read(values: Any, rows: NDArray[np.int64]) -> Number:
    """Return rows in ascending order as float32; what cannot be mapped is read as one slice."""
    if not len(rows):
        return np.empty((0, values.shape[1]), np.float32)
    if isinstance(values, np.ndarray):
        return np.asarray(values[rows], dtype=np.float32)
    first = int(rows[0])
    return np.asarray(values[first : int(rows[-1]) + 1][rows - first], dtype=np.float32)


def _chunks(infos: list[SectionInfo]) -> Iterator[slice]:
    for info in infos:
        end = info.first + info.n_cells
        for start in range(info.first, end, CHUNK):
            yield slice(start, min(start + CHUNK, end))
