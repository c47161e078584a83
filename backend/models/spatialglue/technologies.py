"""What the reference runs with per technology: epochs, loss weights, neighbours, preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

from backend.core.errors import BadRequest, did_you_mean


@dataclass(frozen=True, slots=True)
class Technology:
    """Settings of one technology in the reference.

    Parameters
    ----------
    name : str
    epochs : int
        Steps of Adam at 1e-4, full batch.
    reconstruction, correspondence : tuple of float
        Weights of the loss, one per modality.
    neighbours : int
        Spatial neighbours per spot.
    scaled : bool
        Whether genes and proteins are z-scored before PCA.
    least_genes : int
        Spots with fewer genes are dropped by the reference; here they are only counted.
    least_spots_protein : int
        Proteins seen in fewer spots are dropped.
    """

    name: str
    epochs: int = 600
    reconstruction: tuple[float, ...] = (1.0, 5.0)
    correspondence: tuple[float, ...] = (1.0, 1.0)
    neighbours: int = 3
    scaled: bool = True
    least_genes: int = 0
    least_spots_protein: int = 0


#: The reference's table; its constructor arguments are overwritten by it.
TECHNOLOGIES: dict[str, Technology] = {
    t.name: t
    for t in (
        Technology("SPOTS"),
        Technology("10x", epochs=200, correspondence=(1.0, 10.0)),
        Technology(
            "Stereo-CITE-seq",
            epochs=1500,
            reconstruction=(1.0, 10.0),
            correspondence=(1.0, 10.0),
            neighbours=6,
            scaled=False,
            least_genes=80,
            least_spots_protein=50,
        ),
        Technology("Spatial-epigenome-transcriptome", epochs=1600, neighbours=6, least_genes=200),
    )
}
#: Used where no technology is named; the reference's own default.
DEFAULT_TECHNOLOGY = "SPOTS"


def technology_of(name: str) -> Technology:
    """Return the settings of a technology; case and hyphens are not told apart.

    Raises
    ------
    BadRequest
        If the name is not in the table; lists the names that are.
    """
    known = {_plain(n): t for n, t in TECHNOLOGIES.items()}
    found = known.get(_plain(name or DEFAULT_TECHNOLOGY))
    if found is None:
        raise BadRequest(
            f"Technology '{name[:60]}' is not known.",
            f"Known are {', '.join(TECHNOLOGIES)}; leave it out for {DEFAULT_TECHNOLOGY}'s "
            "settings.",
            *filter(None, [did_you_mean(name[:60], TECHNOLOGIES)]),
        )
    return found


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
