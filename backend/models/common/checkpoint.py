"""A checkpoint is a folder: ``card.json`` and ``weights.safetensors``. Never a pickle.

The card holds what a person asks of a model (what it was trained on, under which licences, with
which seed and code, how far it was right) and the SHA-256 of the weights. Anything else is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from backend.core.errors import BadCheckpoint, StoreExists

FORMAT = "molccf-checkpoint"
FORMAT_VERSION = 1
CARD, WEIGHTS = "card.json", "weights.safetensors"
#: What every card must say.
REQUIRED = ("model", "version", "seed", "genes", "data", "licences", "metrics")
#: Larger files than these are refused unread.
LARGEST_CARD, LARGEST_WEIGHTS = 64_000_000, 8_000_000_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained model.

    Parameters
    ----------
    card : mapping
        JSON values only; holds at least ``REQUIRED``.
    tensors : mapping of str to array
    path : Path or None
        Where it was read from.
    """

    card: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    path: Path | None = field(default=None, compare=False)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, replace: bool = False) -> Checkpoint:
    """Write ``checkpoint`` to ``folder``, whole or not at all, and return it with its path.

    Raises
    ------
    StoreExists
        If ``folder`` exists, holds anything, and ``replace`` is false.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not replace:
        raise StoreExists(f"{folder} exists.", "Choose another folder, or delete it first.")
    weights = save_tensors({k: np.ascontiguousarray(v) for k, v in checkpoint.tensors.items()})
    card = {
        **checkpoint.card,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (staging / WEIGHTS).write_bytes(weights)
        (staging / CARD).write_text(json.dumps(card, indent=1, allow_nan=False) + "\n")
        _swap_in(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Checkpoint(card, checkpoint.tensors, folder)


def _swap_in(staging: Path, folder: Path) -> None:
    """Put ``staging`` where ``folder`` is."""
    staging.chmod(0o755)
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.rename(folder, old / "was")
        os.rename(staging, folder)
        shutil.rmtree(old)
    else:
        os.rename(staging, folder)


def load_checkpoint(folder: Path, model: str | None = None) -> Checkpoint:
    """Return the checkpoint in ``folder``.

    Parameters
    ----------
    folder : Path
    model : str or None
        Name of the model it must be of.

    Raises
    ------
    BadCheckpoint
        If a file is missing, damaged, too large, of another format or model, or does not have the
        recorded SHA-256.
    """
    folder = Path(folder)
    card = read_card(folder)
    if model is not None and card["model"] != model:
        raise BadCheckpoint(
            f"Checkpoint {folder.name} is of model '{card['model']}', not '{model}'.",
            f"Train one with: python -m backend train {model} ATLAS.zarr -o CHECKPOINT",
        )
    weights = _read(folder / WEIGHTS, LARGEST_WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != card["sha256"]:
        raise _damaged(folder, "the weights do not have the recorded SHA-256")
    try:
        tensors = load_tensors(weights)
    except (SafetensorError, ValueError) as error:
        raise _damaged(folder, f"the weights are not readable ({error})") from error
    return Checkpoint(card, tensors, folder)


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of the checkpoint in ``folder`` without reading its weights.

    Raises
    ------
    BadCheckpoint
        If it is missing, not JSON, of another format, or incomplete.
    """
    folder = Path(folder)
    text = _read(folder / CARD, LARGEST_CARD)
    try:
        card = json.loads(text)
    except ValueError as error:
        raise _damaged(folder, f"{CARD} is not JSON") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise _damaged(folder, f"{CARD} does not say format '{FORMAT}'")
    if card.get("format_version") != FORMAT_VERSION:
        raise BadCheckpoint(
            f"Checkpoint {folder.name} has format version {card.get('format_version')}; "
            f"this program reads {FORMAT_VERSION}.",
            "Train it again, or use the version of the program that wrote it.",
        )
    absent = [name for name in (*REQUIRED, "sha256") if name not in card]
    if absent:
        raise _damaged(folder, f"{CARD} lacks {', '.join(absent)}")
    return card


def _read(path: Path, largest: int) -> bytes:
    """Bytes of one file of a checkpoint."""
    if not path.is_file():
        raise BadCheckpoint(
            f"{path.parent.name} is not a checkpoint: {path.name} is missing.",
            f"A checkpoint is a folder with {CARD} and {WEIGHTS}, as 'python -m backend train' "
            "writes it.",
        )
    if path.stat().st_size > largest:
        raise BadCheckpoint(f"{path.name} is larger than {largest:,} bytes.", "Train it again.")
    return path.read_bytes()


def _damaged(folder: Path, what: str) -> BadCheckpoint:
    """Return the error for a checkpoint that cannot be trusted."""
    return BadCheckpoint(
        f"Checkpoint {folder.name} is damaged: {what}.", "Copy it again, or train it again."
    )
