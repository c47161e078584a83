"""Heads as the card and tensors of a checkpoint, and back.

Card, one entry of ``heads`` per head: ``label``, ``taxonomy`` (data sets joined by " + "),
``sections``, ``codes`` (places in ``labels[label]``), ``space`` (its own one), ``of_places``, and
``readings``: name (near, far, alone) to ``niche_weight``, the ``SCALARS``, the ``weights`` of its
voices, ``novelty`` (``weights``, ``usual``, ``spread`` of the ``novelty.SIGNS``), ``held_out``
(see ``held_out.HeldOut``; its ``baselines`` are the plain methods on the same cells) and ``plain``
(see ``held_out.PlainReading``, null where no plain method could be run).

Tensors ``head/<i>/<reading>/<name>`` for ``weights`` (f, c), ``intercept`` (c,), ``mean``, ``sd``
(2k,), ``centres`` (c, f), ``covariance`` (f, f), the last two empty where the reading does not
adapt; below ``<reading>/known/<place>/`` the ``centres`` and ``precision`` of ``novelty.Known``,
where classes were left out. ``head_format`` counts changes of all this; format 2, with a
``temperature`` in place of ``weights``, one sign of novelty and no ``plain``, is still read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadCheckpoint
from backend.models.fusemap.heads import (
    READINGS,
    Calibration,
    Head,
    HeldOut,
    PlainReading,
    Reading,
)
from backend.models.fusemap.novelty import USUAL, Known, Novelty, Places, places_in
from backend.models.fusemap.reader import Reader, Scale

HEAD_FORMAT = 3
#: Formats that are read.
KNOWN_FORMATS = (2, HEAD_FORMAT)
NOVELTY, PLACES = ("weights", "usual", "spread"), ("centres", "precision")
SCALARS = ("threshold", "doubted_from", "novel_from")


def check_head_format(card: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose heads were written by another version.

    Raises
    ------
    BadCheckpoint
    """
    found = card.get("head_format", 1)
    if found not in KNOWN_FORMATS:
        raise BadCheckpoint(
            f"The checkpoint's classifiers have format {found}; this program reads {HEAD_FORMAT}.",
            "Train it again, or use the version of the program that wrote it.",
        )


def put_head(tensors: dict[str, NDArray[Any]], place: str, head: Head) -> None:
    """Add the arrays of a head."""
    for reading, known in head.known.items():
        for where, lies in places_in(known).items():
            for name in PLACES:
                at = f"{place}/{reading}/known/{where}/{name}"
                tensors[at] = getattr(lies, name).astype(np.float32)
    for name, reader in head.readers.items():
        at = f"{place}/{name}"
        tensors[f"{at}/weights"] = reader.weights.astype(np.float32)
        tensors[f"{at}/intercept"] = reader.intercept.astype(np.float32)
        tensors[f"{at}/mean"], tensors[f"{at}/sd"] = reader.scale.mean, reader.scale.sd
        tensors[f"{at}/centres"] = reader.centres.astype(np.float32)
        tensors[f"{at}/covariance"] = reader.covariance.astype(np.float32)


def head_json(head: Head) -> dict[str, Any]:
    """Put the scalars of a head in JSON."""
    return {
        "of_places": head.of_places,
        "readings": {
            name: {
                "niche_weight": head.readers[name].niche_weight,
                **{scalar: getattr(c, scalar) for scalar in SCALARS},
                "weights": list(c.weights),
                "novelty": {name: list(getattr(c.novelty, name)) for name in NOVELTY},
                "held_out": c.held_out.as_json(),
                "plain": None if c.plain is None else c.plain.as_json(),
            }
            for name, c in head.calibrations.items()
        },
    }


def get_head(tensors: Mapping[str, NDArray[Any]], place: str, about: Mapping[str, Any]) -> Head:
    """Read the head stored at ``place``."""
    readings: list[Reading] = [name for name in READINGS if name in about["readings"]]
    return Head(
        bool(about["of_places"]),
        {name: _reader(tensors, f"{place}/{name}", about["readings"][name]) for name in readings},
        {name: _calibration(about["readings"][name]) for name in readings},
        {
            name: _known(tensors, f"{place}/{name}/known")
            for name in readings
            if f"{place}/{name}/known/own/centres" in tensors
        },
    )


def _known(tensors: Mapping[str, NDArray[Any]], at: str) -> Known:
    """Read where the classes lie."""
    lies = {
        field.name: Places(
            *(np.asarray(tensors[f"{at}/{field.name}/{name}"], np.float64) for name in PLACES)
        )
        for field in fields(Known)
    }
    return Known(**lies)


def _reader(tensors: Mapping[str, NDArray[Any]], at: str, about: Mapping[str, Any]) -> Reader:
    """Read one reader; its arithmetic is done in double precision."""
    own = {
        name: np.asarray(tensors[f"{at}/{name}"], dtype=np.float64)
        for name in ("weights", "intercept", "mean", "sd", "centres", "covariance")
    }
    return Reader(
        own["weights"],
        own["intercept"],
        Scale(own["mean"], own["sd"]),
        float(about["niche_weight"]),
        own["centres"],
        own["covariance"],
    )


def _novelty(about: Mapping[str, Any]) -> Novelty:
    """Read how signs are weighed; format 2 knew one sign of the reader."""
    if "novelty" in about:
        return Novelty(*(tuple(about["novelty"][name]) for name in NOVELTY))
    one = [w > 0 and i < len(USUAL) - 1 for i, w in enumerate(USUAL)]
    usual = tuple(float(about["usual"]) if own else 0.0 for own in one)
    return Novelty(USUAL, usual, tuple(float(about["spread"]) if own else 1.0 for own in one))


def _calibration(about: Mapping[str, Any]) -> Calibration:
    """Read one calibration."""
    return Calibration(
        weights=tuple(about["weights"]) if "weights" in about else (1 / about["temperature"],),
        held_out=HeldOut.from_json(about["held_out"]),
        novelty=_novelty(about),
        plain=PlainReading.from_json(about["plain"]) if about.get("plain") else None,
        **{scalar: float(about[scalar]) for scalar in SCALARS},
    )
