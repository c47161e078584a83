"""A plane in which cells of like expression lie side by side: a UMAP of the cell embedding."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Provenance, SectionInfo, TaskResult
from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext
from backend.models.common.neighbours import Neighbours
from backend.runs.balance import balanced_rows
from backend.runs.placing import Placing
from backend.store import flat, room, schema
from backend.store.atlas import Atlas
from backend.store.parallel import run_tasks
from backend.store.place import local
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
#: Bytes of disk and of memory per cell of the atlas, and of memory for the program and the fit.
_DISK, _MEMORY, _PROGRAM = 100, 120, 700 << 20
#: Where cells without an embedding are put: beyond all others, last along the curve.
OUTSIDE = 1.02
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
    sample: int | None = None,
) -> dict[str, Any]:
    """Write a UMAP of the cell embedding into an atlas, as another plane of its cells.

    A run that was killed goes on where it stopped. Memory: about 700 MB for the program and the
    fit, and up to 120 bytes for each cell while the overview is written; with its memory maps the
    process of 18.6 million cells had 4.1 GB.

    Parameters
    ----------
    atlas_path : Path
    ctx : RunContext, optional
    name : str
        Of the layout; its tiles are those of section ``layout:<name>``.
    seed : int
        The same seed gives the same plane.
    sample : int, optional
        Cells that the plane is fitted on; all others are placed among them. By default 20,000, in
        atlases of more than two million cells one in a hundred, at most 50,000.

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
    TooLarge
        If there is not enough disk or memory.
    Cancelled
        The places so far are kept beside the atlas, and used when the run is repeated.
    """
    ctx = ctx or RunContext()
    atlas = Atlas.open(atlas_path)
    infos = _embedded(atlas)
    sample = sample or sample_of(sum(info.n_cells for info in infos))
    folder = local(atlas_path, "Writing a layout")
    room.check(folder, room.Need(_DISK * atlas.n_cells, _PROGRAM + _MEMORY * atlas.n_cells))
    placing = _placing(atlas, folder, name, seed, sample)
    fitted = _place(atlas, infos, placing, ctx.part(0, 0.9), seed, sample)
    places = _stretched(placing.places)
    outside = np.isnan(places[:, 0])
    placed = int((~outside).sum())
    provenance = _provenance(atlas, seed, fitted)
    ctx.step(0.9, "Writing the plane")
    places[outside] = OUTSIDE
    written = write_result(atlas_path, TaskResult(provenance=provenance), layouts={name: places})
    _describe(written, name, placed, provenance)
    part = ctx.part(0.93, 1.0)
    write_overview(written, name, lambda f: part.step(f, "Writing the overview of the plane"))
    placing.remove()
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


def sample_of(n: int) -> int:
    """Return how many of n cells a plane is fitted on by default."""
    return min(max(20_000, n // 100), 50_000)


def _embedded(atlas: Atlas) -> list[SectionInfo]:
    """Return the sections that can be laid out."""
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
    return infos


def _placing(atlas: Atlas, path: Path, name: str, seed: int, sample: int) -> Placing:
    """Return the places of the run before, where that was for the same cells and choices."""
    embedding = atlas.array_path(schema.embedding_array("cell"))
    choices = (FIT_NEIGHBOURS, MIN_DIST, NEIGHBOURS, JITTER, ISLAND, CHUNK, METHOD)
    mark = (str(atlas.attrs["created"]), str(embedding), repr((seed, sample, *choices)))
    return Placing(path.with_name(f"{path.name}.layout-{name}"), atlas.n_cells, mark)


def _place(
    atlas: Atlas,
    infos: list[SectionInfo],
    placing: Placing,
    ctx: RunContext,
    seed: int,
    sample: int,
) -> int:
    """Give every embedded cell a place; return how many were fitted."""
    embedding = atlas.embedding("cell")
    assert embedding is not None
    values, scale = embedding.values, embedding.scale
    ctx.step(0.0, "Choosing cells for the plane")
    held = placing.fitted()
    rows = balanced_rows(atlas, infos, sample, seed) if held is None else held[0]
    z = _read(values, rows) * scale
    find = Neighbours(z, seed)
    if held is None:
        ctx.step(0.02, f"Fitting the plane on {len(rows):,} cells")
        held = rows, fit_plane(z, find, seed)
        placing.keep(*held)
    plane, is_fitted = held[1], np.zeros(atlas.n_cells, bool)
    is_fitted[rows] = True
    placing.places[rows] = plane
    total = sum(info.n_cells for info in infos)
    parts = [part for part in _chunks(infos) if not placing.is_done(part)]
    done = total - sum(part.stop - part.start for part in parts)

    def put(part: slice) -> None:
        others = np.arange(part.start, part.stop)[~is_fitted[part]]
        near = find(_read(values, others) * scale, NEIGHBOURS)
        rng = np.random.default_rng([seed, part.start])
        placing.places[others] = placed_among(plane, *near, rng)

    def told(place: int, _: None) -> None:
        nonlocal done
        done += parts[place].stop - parts[place].start
        ctx.step(0.4 + 0.6 * done / total, f"Placing cells: {done:,} of {total:,}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        run_tasks(put, [(part,) for part in parts], told, pool=pool)
    return len(rows)


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
    """Return places with each axis stretched to 0..1; nan stays nan."""
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
