"""Subspots of a file or an atlas section: reading, enhancing, and what is written.

Sections of the ``TaskResult``: one of subspots per section of spots, id ``SECTION.subspots``, whose
counts are expected expression (``rate``); names are those of the spots with a number behind.

Columns: ``label:domain`` of spots and subspots (the same groups); of spots ``score:residual`` and,
where they could be merged, ``score:recovered`` (change of the deviance of the spot, recovered from
a merged one, against rescaled bilinear, per cent; missing where it was in no block); of
subspots ``score:uncertainty`` and ``score:detail`` (how far they are from the mean of their spot).

Matrices (per section of subspots): ``rate``, ``split``, ``sd`` (n, genes); ``parent`` (n, 1), row
of the spot in its section.

Figures (JSON)

- ``mode``, ``sections`` (titles), ``spots``, ``subspots``, ``genes_enhanced``, ``shapes`` and
  ``pitches`` by section, ``domains`` (count), ``tiles``
- ``method``: "model", "bilinear" or "copy", what the self-merge check chose
- ``gain``: ``expected`` (change of deviance against rescaled bilinear, a share, below zero is
  better), ``little`` (whether it is not worth speaking of), ``copy`` (the same for copying),
  ``blocks`` (merged spots); None where too few spots could be merged
- ``methods``: merged spots recovered by every method, the best r first: {name, r, within (medians
  over the 60 most spatial genes), gain_r, worst_gain_r, wins (share of genes), deviance (the same
  against rescaled bilinear)}; "this model" is ``split``
- ``calibration``: ``low``, ``median``, ``high``: deciles over genes of what their sd was multiplied
  by, the spread of standardised errors of merged spots; None where none could be merged
- ``gate``: ``image`` (evidence, 0 to 1), ``threshold``, ``used``; ``shuffled``, ``rotated``,
  ``mirrored``, ``moved`` (the largest evidence of controls of a kind); ``fit`` (nats), ``chance``
  (share of ways to look at the image that fit as well), ``better`` (the best of these, or ""),
  ``controls``: list of {name, kind, probability, fit}; None without an image
- ``kernel``: ``length`` (pitches), ``image_share``, ``noise``; means over factors and choices
- ``kappa_median``, ``uncertainty_median``; ``split_error``: worst relative error of the sums
- ``genes``: list of {gene, mean (counts per spot), gain (self-merge, None where not tried), kappa,
  error (mean sd over mean rate)}, most abundant first
- ``warnings`` (sentences), ``how_to_read`` (sentences by figure), ``seconds`` by step
- ``image``: {source, width, height, features ("bank" or "cnn"), weights ({name, sha256} of the
  network, or None), and in jobs bounds (left, top, right, bottom of
  ``underlay.jpg`` in coordinates of the section)} or None
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData, TaskResult
from backend.core.errors import BadRequest
from backend.core.job import RunContext
from backend.intake.mapping import ReadMapping
from backend.models.soscope.image_weights import ImageWeights, read_weights
from backend.models.soscope.layouts import Layout
from backend.models.soscope.tasks import EnhanceParams, enhance, layout_of
from backend.runs.enhance_files import write_enhanced, write_gain
from backend.runs.enhance_image import TissueImage, image_features, image_of_file
from backend.runs.enhance_spots import cells_of, read_spots
from backend.runs.enhance_underlay import write_underlay
from backend.store.atlas import Atlas


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """Which image to use.

    Parameters
    ----------
    path : Path or None
        An image file; the one inside the h5ad file where None.
    pixels : str
        ``obsm/KEY`` with pixel coordinates, or "stretch"; found where empty.
    scale : float or None
        Pixels of the image per unit of these coordinates.
    use : bool
        Whether to look for an image at all.
    overlay : Path or None
        Where spots over the image are drawn if they do not fit.
    underlay : Path or None
        Where the image is written as it lies under the section, for looking at.
    weights : Path or None
        Of the network that describes the image, a .safetensors file; the bank of colours and
        textures describes it where None.
    """

    path: Path | None = None
    pixels: str = ""
    scale: float | None = None
    use: bool = True
    overlay: Path | None = None
    underlay: Path | None = None
    weights: Path | None = None


def enhance_file(
    path: Path,
    params: EnhanceParams,
    ctx: RunContext,
    *,
    out_h5ad: Path | None = None,
    out_csv: Path | None = None,
    image: ImageChoice | None = None,
    images: Mapping[str, Path] | None = None,
    section: str = "",
    cells: Path | None = None,
    width: float = 0.0,
    mapping: ReadMapping | None = None,
) -> tuple[list[SectionData], TaskResult]:
    """Read spots, enhance them, write what was asked for.

    Parameters
    ----------
    path : Path
        .h5ad file, only read.
    params : EnhanceParams
    ctx : RunContext
    out_h5ad, out_csv : Path or None
        Subspots with layers ``rate``, ``split`` and ``sd``; gain by gene.
    image : ImageChoice, optional
    images : mapping of section id to Path, optional
        Where several sections have an image each, instead of the path of ``image``; these sections
        are enhanced, unless ``section`` names one.
    section : str
        Id of the section; needed with an image where the file has several. All where empty.
    cells : Path or None
        File with single cells in the frame of the (one) section: they become the subspots.
    width : float
        Width of a spot, in the unit of the coordinates; .55 pitches where 0.
    mapping : ReadMapping, optional

    Returns
    -------
    list of SectionData, TaskResult
        The spots, and the result.

    Raises
    ------
    BadFile, BadRequest, TooLarge, Cancelled
    """
    chosen = image or ImageChoice()
    network = read_weights(chosen.weights) if chosen.weights is not None else None
    if out_h5ad is not None and out_h5ad.exists() and out_h5ad.samefile(path):
        raise BadRequest("The result would overwrite its input.", "Choose another output file.")
    ctx.step(0.0, "Reading the spots")
    sections = _wanted(read_spots(path, mapping), [section] if section else list(images or {}))
    layouts: dict[str, Layout] = {}
    names: dict[str, NDArray[Any]] = {}
    if cells is not None:
        sections, layouts, names = _with_cells(sections, cells, width, mapping)
    features: dict[str, NDArray[np.float32]] = {}
    seen: TissueImage | None = None
    if chosen.use:
        if chosen.path is not None and not images and len(sections) > 1:
            listed = ", ".join(s.id for s in sections[:8])
            raise BadRequest(
                f"There are {len(sections)} sections and one image.",
                f"Name the section that it shows: {listed}.",
            )
        for one in sections:
            ctx.step(0.03, f"Looking at the image of {one.title}")
            file = (images or {}).get(one.id, chosen.path)
            seen = image_of_file(path, one, file, chosen.pixels, chosen.scale)
            if seen is not None:
                layout = layouts.get(one.id) or layout_of(one, params)
                features[one.id] = image_features(seen, layout, one, chosen.overlay, network)
    result = enhance(
        sections, params, ctx.part(0.2, 0.9), features=features or None, layouts=layouts,
        names=names,
    )  # fmt: skip
    about = _about(seen, network)
    if about is not None and seen is not None and chosen.underlay is not None:
        about["bounds"] = write_underlay(chosen.underlay, seen, sections[-1])
    result = replace(result, figures={**result.figures, "image": about})
    _write(sections, result, out_h5ad, out_csv, ctx)
    return sections, result


def enhance_sections(
    atlas: Path,
    names: Sequence[str],
    params: EnhanceParams,
    ctx: RunContext,
    *,
    out_h5ad: Path | None = None,
    out_csv: Path | None = None,
) -> tuple[list[SectionData], TaskResult]:
    """Enhance sections of an atlas, together and without an image; as ``enhance_file``.

    Raises
    ------
    BadRequest
        If no section is named.
    """
    if not names:
        raise BadRequest("No section is named.", "Choose a section of spots.")
    store = Atlas.open(atlas)
    sections = [store.load(name) for name in names]
    result = enhance(sections, params, ctx.part(0.05, 0.9))
    result = replace(result, figures={**result.figures, "image": None})
    _write(sections, result, out_h5ad, out_csv, ctx)
    return sections, result


def _with_cells(
    sections: list[SectionData], cells: Path, width: float, mapping: ReadMapping | None
) -> tuple[list[SectionData], dict[str, Layout], dict[str, NDArray[Any]]]:
    """Return the spots with cells, and these as layouts and names."""
    found = read_spots(cells, replace(mapping or ReadMapping(), counts=None))
    if len(sections) != 1 or len(found) != 1:
        raise BadRequest(
            f"There are {len(sections)} sections of spots and {len(found)} of cells.",
            "Name one section of spots, and give a file with one section of cells.",
        )
    inside = cells_of(sections[0], found[0], width)
    name = sections[0].id
    return [inside.section], {name: inside.layout}, {name: inside.names}


def _wanted(sections: list[SectionData], names: list[str]) -> list[SectionData]:
    """Return the sections of these ids or titles; all where none is named."""
    for name in names:
        if not any(name in (s.id, s.title) for s in sections):
            raise BadRequest(
                f"There is no section '{name[:60]}'.",
                f"There is {', '.join(s.id for s in sections[:12])}.",
            )
    return [s for s in sections if not names or s.id in names or s.title in names]


def _about(image: TissueImage | None, weights: ImageWeights | None) -> dict[str, Any] | None:
    """Return what the image is, and by what it was described."""
    if image is None:
        return None
    width, height = image.size
    found: dict[str, Any] = {"source": image.source, "width": width, "height": height}
    if weights is None:
        return {**found, "features": "bank", "weights": None}
    return {**found, "features": "cnn", "weights": {"name": weights.name, "sha256": weights.sha256}}


def _write(
    sections: Sequence[SectionData],
    result: TaskResult,
    out_h5ad: Path | None,
    out_csv: Path | None,
    ctx: RunContext,
) -> None:
    ctx.step(0.92, "Writing files")
    if out_h5ad is not None:
        write_enhanced(out_h5ad, sections, result)
    if out_csv is not None:
        write_gain(out_csv, result.figures)
    ctx.report(1.0, "Done")
