"""What a query and a checkpoint must agree on before one is read with the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from backend.core.data import SectionData
from backend.core.errors import BadCheckpoint, BadRequest
from backend.models.common.prep import gene_index
from backend.models.fusemap.card import CARD
from backend.models.fusemap.space import LEAST_SHARED_GENES

#: What files say where the species is not known.
UNKNOWN_SPECIES = ("", "unknown")


def refuse_species(section: SectionData, species: Collection[str]) -> None:
    """Refuse a section of another species than the checkpoint was trained on.

    Raises
    ------
    BadRequest
    """
    own = section.species.casefold()
    known = {s.casefold() for s in species} - set(UNKNOWN_SPECIES)
    if own in UNKNOWN_SPECIES or not known or own in known:
        return
    listed = ", ".join(sorted(known))
    raise BadRequest(
        f"'{section.title}' is of species {own}; the checkpoint was trained on {listed}.",
        f"Map its genes to orthologues of {listed} and say so in uns['organism'], or use an atlas "
        f"of {own}.",
    )


def refuse_version(version: str) -> None:
    """Refuse a checkpoint of another generation of the model.

    Raises
    ------
    BadCheckpoint
    """
    if version.partition(".")[0] != CARD.version.partition(".")[0]:
        raise BadCheckpoint(
            f"The checkpoint is of {CARD.name} {version}; this program reads {CARD.version}.",
            "Train it again, or use the version of the program that wrote it.",
        )


def refuse_stranger(
    trained: Sequence[str], known: Sequence[str], sections: Sequence[str], genes: Sequence[str]
) -> None:
    """Refuse a checkpoint that was trained on another atlas.

    Parameters
    ----------
    trained, known : sequence of str
        Section ids and gene symbols of the checkpoint.
    sections, genes : sequence of str
        Those of the atlas that it is used with.

    Raises
    ------
    BadCheckpoint
        If the atlas has none of its sections, or hardly any of its genes.
    """
    remedy = "Train one on this atlas: python -m backend train fusemap ATLAS.zarr -o CHECKPOINT"
    if not set(trained) & set(sections):
        raise BadCheckpoint(
            f"The checkpoint was trained on another atlas: none of its {len(trained)} sections "
            f"(such as {trained[0]}) is in this one.",
            remedy,
        )
    index = gene_index(known)
    shared = sum(g.upper() in index for g in genes)
    if shared < LEAST_SHARED_GENES:
        raise BadCheckpoint(
            f"The checkpoint has another list of genes: the atlas has {shared} of its "
            f"{len(known):,}; {LEAST_SHARED_GENES} are needed.",
            remedy,
        )
