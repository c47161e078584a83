"""Tiles drawn in process, for the bench: each sort of tile beside its floors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backend.cli import bench_tiles as tiles
from backend.cli.bench_rows import Row, in_turns, row, timed
from backend.cli.console import say
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey
from backend.store.atlas import Atlas
from backend.tiles.render import TileRenderer
from backend.tiles.spans import MONTAGE
from backend.tiles.values import Values

#: Sorts of tiles, in the order of the table.
PARTS = ("overview", "dense deep", "sparse deep")
#: Times that the fullest tile of a part is drawn, and that a slow floor is measured.
AGAIN, SLOW = 15, 3
#: Sections of the screen that two atlases are compared by: each fills one tile.
SCREEN = 20


def in_process(
    atlas: Atlas, renderer: TileRenderer, rng: np.random.Generator, repeats: int
) -> Iterator[Row]:
    """Yield the tiles of all planes and layers."""
    values = Values(atlas)
    renderer.warm()
    for name, places in tiles.planes(atlas, renderer, rng, repeats).items():
        for key in tiles.layers(atlas):
            say(f"{name}, {key}")
            yield from _tiles(values, renderer, name, key, places)


def _tiles(
    values: Values, renderer: TileRenderer, plane: str, key: LayerKey, places: list[tiles.Place]
) -> Iterator[Row]:
    """Yield the first tiles, then those of each part, all drawn anew."""
    title, about = f"{plane}, {title_of(values.atlas, key)}", {"plane": plane, "kind": key.kind}
    first = [timed(partial(tiles.draw, renderer, key, place)) for place in places]
    yield row(f"{title}: first 8 tiles", first[:8])
    for part in sorted({place.part for place in places}, key=PARTS.index):
        own = [place for place in places if place.part == part]
        yield _part(values, renderer, f"{title}: {part}", key, own, {**about, "part": part})
    for part in PARTS[:2]:
        full = [place for place in places if place.part == part]
        if full:
            place = max(full, key=lambda place: place.n_cells)
            name = f"{title}: fullest {part}, {place.n_cells:,} cells"
            again, fullest = [place] * AGAIN, {**about, "part": f"fullest {part}"}
            yield _part(values, renderer, name, key, again, fullest)


def _part(
    values: Values,
    renderer: TileRenderer,
    name: str,
    key: LayerKey,
    places: list[tiles.Place],
    about: dict[str, str],
) -> Row:
    """Return one row; its ratios are medians over tiles of the best of a few measured in turns."""
    drawn, floor, ratios = [], [], []
    for place in places:
        floors = tiles.floors(values, renderer, key, place)
        draw = partial(tiles.draw, renderer, key, place)
        # What is made once per layer is not part of a tile.
        draw()
        own, read, copy = in_turns([draw, floors.floor, floors.strict])
        drawn.append(own[-1])
        floor.append(min(read))
        ratios.append((min(own) / min(read), min(own) / min(copy)))
    ratio, strict = np.median(ratios, axis=0).tolist()
    return row(name, drawn, floor) | {"ratio": ratio, "strict_ratio": strict, **about}


def title_of(atlas: Atlas, key: LayerKey) -> str:
    """Return what a layer is called in the table."""
    if key.kind == "label":
        return f"label of {len(atlas.label(key.name).categories)} categories"
    return f"{key.kind} gene" if key.kind in ("measured", "imputed") else str(key)


def brute(atlas: Atlas, renderer: TileRenderer, rng: np.random.Generator) -> Iterator[Row]:
    """Yield overview tiles of an imputed gene beside the product of all embeddings with it."""
    genes = tiles.imputable(atlas)
    if not len(genes):
        return
    key = next(key for key in tiles.layers(atlas) if key.kind == "imputed")
    slow = tiles.brute_force(atlas, int(genes[0]))
    slow()
    floors = [timed(slow) for _ in range(SLOW)]
    whole = tiles.Place(MONTAGE, TileAddress(0, 0, 0))
    some = [p for p in tiles.planes(atlas, renderer, rng, 60)["montage"] if p.is_overview]
    for name, places in (("whole atlas in one tile", [whole] * 20), ("overview tiles", some)):
        if places:
            drawn = [_again(renderer, key, place) for place in places]
            title = f"imputed gene, {name}, by brute force over all cells"
            yield row(title, drawn, floors, what="brute")


def _again(renderer: TileRenderer, key: LayerKey, place: tiles.Place) -> float:
    """Return the milliseconds of a tile drawn for the second time."""
    tiles.draw(renderer, key, place)
    return timed(partial(tiles.draw, renderer, key, place))


def encoding(atlas: Atlas, renderer: TileRenderer) -> Iterator[Row]:
    """Yield writing the PNG of the whole atlas beside PIL."""
    key = tiles.layers(atlas)[0]
    png = tiles.draw(renderer, key, tiles.Place(MONTAGE, TileAddress(0, 0, 0)))
    own, slow = tiles.encoders(png)
    own()
    floors = [timed(slow) for _ in range(20)]
    drawn = [timed(own) for _ in range(50)]
    yield row("PNG of a tile, by PIL RGBA level 1", drawn, floors, what="png")


def same_screen(atlas: Atlas, renderer: TileRenderer, beside: Path) -> Iterator[Row]:
    """Yield screens of both atlases: as many whole sections, one tile each; all in one tile."""
    small = Atlas.open(beside)
    other = TileRenderer(small)
    count = min(SCREEN, len(atlas.sections()), len(small.sections()))
    for kind in ("label", "imputed"):
        acts: list[Any] = []
        for one, drawer in ((atlas, renderer), (small, other)):
            key = next((key for key in tiles.layers(one) if key.kind == kind), None)
            if key is None:
                return
            for screen in (_sections(one, count), [tiles.Place(MONTAGE, TileAddress(0, 0, 0))]):
                acts.append(partial(_screen, drawer, key, screen))
        for act in acts:
            act()
        times = in_turns(acts, AGAIN)
        for i, name in enumerate((f"{count} whole sections, one tile each", "whole atlas, 1 tile")):
            title = f"same screen, by {small.n_cells:,} cells: {name}, {kind}"
            ratio = min(times[i]) / min(times[i + 2])
            yield row(title, times[i], times[i + 2], what="screen") | {"ratio": ratio}


def _sections(atlas: Atlas, count: int) -> list[tiles.Place]:
    largest = sorted(atlas.sections(), key=lambda info: -info.n_cells)[:count]
    return [tiles.Place(info.id, TileAddress(0, 0, 0)) for info in largest]


def _screen(renderer: TileRenderer, key: LayerKey, places: list[tiles.Place]) -> None:
    for place in places:
        tiles.draw(renderer, key, place)
