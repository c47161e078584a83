"""The verb that estimates the expression of subspots between the spots of a section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backend.core.errors import BadRequest
from backend.intake.attached import image_of
from backend.intake.mapping import ReadMapping
from backend.worker.asked import params_of
from backend.worker.work import Work

#: Suffixes of images that may be sent beside the spots.
IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
#: Genes, domains and seeds that may be asked for.
MOST_GENES, MOST_DOMAINS, MOST_SEEDS = 20_000, 40, 10


@dataclass(frozen=True, slots=True)
class EnhanceAsked:
    """What a person chooses; see ``EnhanceParams`` and ``ImageChoice``."""

    factor: int = 2
    shape: str = ""
    genes: int = 0
    domains: int = 0
    check: bool = True
    use_image: bool = True
    pixels: str = ""
    scale: float = 0.0
    section: str = ""
    mode: str = "default"
    law: str = "nb"
    seeds: int = 3
    features: str = "bank"


def enhance(work: Work) -> Mapping[str, Any]:
    """Enhance an upload with its image, or sections of the atlas: atlas, h5ad and gains by gene."""
    from backend.models.soscope.tasks import EnhanceParams
    from backend.runs.enhance import ImageChoice, enhance_file, enhance_sections
    from backend.runs.enhance_atlas import write_enhanced_atlas

    asked = checked(params_of(EnhanceAsked, work.job.params))
    params = EnhanceParams(
        asked.factor, _shape(asked.shape), asked.genes, asked.domains, asked.check,
        "generative" if asked.mode == "generative" else "default",
        "poisson" if asked.law == "poisson" else "nb", asked.seeds,
    )  # fmt: skip
    fine, gain = work.folder / "enhanced.h5ad", work.folder / "gain.csv"
    ctx = work.context.part(0.0, 0.9)
    if "sections" not in work.job.inputs:
        name, path, slide = sent(work)
        image = ImageChoice(
            slide, asked.pixels, asked.scale or None, asked.use_image,
            underlay=work.folder / "underlay.jpg", weights=_weights(work, asked),
        )  # fmt: skip
        sections, result = enhance_file(
            path, params, ctx, image=image, section=asked.section, mapping=_mapping(work, name),
            out_h5ad=fine,
            out_csv=gain,
        )  # fmt: skip
    else:
        sections, result = enhance_sections(
            work.atlas, work.sections(), params, ctx, out_h5ad=fine, out_csv=gain
        )
    work.context.step(0.92, "Writing the sections")
    places = write_enhanced_atlas(work.folder / "atlas.zarr", sections, result)
    plane = f"query-{work.job.id}"
    shown = {
        section: {name: f"{plane}.{k}" for name, k in group.items()}
        for section, group in places.items()
    }
    first = shown[sections[0].id]
    return {
        "section": first["rate"],
        "parent": first["spots"],
        "sections": shown,
        "n_spots": result.figures["spots"],
        "n_subspots": result.figures["subspots"],
        "method": result.figures["method"],
        "figures": result.figures,
    }


def sent(work: Work) -> tuple[str, Path, Path | None]:
    """Return the name and file of the spots, and the image that was sent with them, if any.

    Raises
    ------
    BadRequest
        Unless there is one file of spots, and one image at most.
    UnknownUpload
    """
    if "upload" in work.job.inputs:
        path = work.upload()
        return str(work.job.inputs.get("name", "spots")), path, image_of(path)
    uploads = work.uploads()
    images = [path for name, path in uploads if name.lower().endswith(IMAGES)]
    spots = [(name, path) for name, path in uploads if not name.lower().endswith(IMAGES)]
    if len(spots) != 1 or len(images) > 1:
        raise BadRequest(
            f"There are {len(spots)} files of spots and {len(images)} images.",
            f"Send one .h5ad file and at most one image ({', '.join(IMAGES)}).",
        )
    return (*spots[0], images[0] if images else None)


def checked(asked: EnhanceAsked) -> EnhanceAsked:
    """Return the parameters, all within bounds.

    Raises
    ------
    BadRequest
        Naming every one that is not.
    """
    wrong = []
    if not 2 <= asked.factor <= 12:
        wrong.append(f"factor {asked.factor}; give 2 to 12 (7 or 6 for hexagons)")
    if asked.shape not in ("", "square", "hexagon"):
        wrong.append(f"shape '{asked.shape[:20]}'; give square, hexagon, or nothing")
    if not 0 <= asked.genes <= MOST_GENES:
        wrong.append(f"{asked.genes} genes; give 0 to {MOST_GENES:,}")
    if asked.domains and not 2 <= asked.domains <= MOST_DOMAINS:
        wrong.append(f"{asked.domains} domains; give 2 to {MOST_DOMAINS}, or 0 for a suggestion")
    if asked.mode not in ("default", "generative"):
        wrong.append(f"mode '{asked.mode[:20]}'; give default or generative")
    if asked.law not in ("nb", "poisson"):
        wrong.append(f"law '{asked.law[:20]}'; give nb or poisson")
    if asked.features not in ("bank", "cnn"):
        wrong.append(f"features '{asked.features[:20]}'; give bank or cnn")
    if not 1 <= asked.seeds <= MOST_SEEDS:
        wrong.append(f"{asked.seeds} seeds; give 1 to {MOST_SEEDS}")
    if asked.scale < 0:
        wrong.append(f"scale {asked.scale}; give pixels per unit, above 0")
    if wrong:
        raise BadRequest("This cannot be run.", *wrong)
    return asked


def _shape(text: str) -> Literal["", "square", "hexagon"]:
    return "square" if text == "square" else "hexagon" if text == "hexagon" else ""


def _weights(work: Work, asked: EnhanceAsked) -> Path | None:
    """Return the operator's weights of the image network, if it is asked for.

    Raises
    ------
    BadRequest
        If there are none; nobody can send any.
    """
    if asked.features != "cnn":
        return None
    path = work.settings.image_weights
    if not path.is_file():
        raise BadRequest(
            "This server has no weights of an image network.",
            f"Whoever runs it can put {path.name} into its data folder; 'bank' needs none.",
        )
    return path


def _mapping(work: Work, name: str) -> ReadMapping:
    """Return how the spots are read: as the card of an upload said, where it has one."""
    card = work.note("preflight").get("card", {}) if "upload" in work.job.inputs else {}
    return ReadMapping(
        dataset=Path(name).stem,
        xy=card.get("coordinates_in") or None,
        counts=card.get("counts_in") or None,
        symbol=card.get("genes_in") or None,
    )
