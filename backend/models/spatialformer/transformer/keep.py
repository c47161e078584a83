"""Transformers on disk: a checkpoint folder, and where a training was when it was put aside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.core.errors import BadCheckpoint
from backend.models.common.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.size import size_of
from backend.models.spatialformer.transformer.train import Training
from backend.models.spatialformer.transformer.vocabulary import Vocabulary

#: What a card calls the model.
MODEL, VERSION = "spatialformer", "1"
MODEL_PART, OPTIMISER_PART = "model.", "optimiser."


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A transformer with what it needs to read cells."""

    model: Former
    vocabulary: Vocabulary
    medians: NDArray[np.float32]
    card: Mapping[str, Any]


def save_pretrained(folder: Path, pretrained: Pretrained, *, replace: bool = False) -> None:
    """Write a transformer; weights in half precision, statistics and medians in single.

    Raises
    ------
    StoreExists
    """
    tensors = {
        name: _half(value) if value.is_floating_point() and value.dim() > 1 else value.cpu().numpy()
        for name, value in pretrained.model.state_dict().items()
    }
    save_checkpoint(
        folder,
        Checkpoint(dict(pretrained.card), {**tensors, "medians": pretrained.medians}),
        replace=replace,
    )


def _half(value: Tensor) -> NDArray[np.float16]:
    return value.detach().cpu().numpy().astype(np.float16)


def load_pretrained(folder: Path) -> Pretrained:
    """Return a transformer in evaluation mode.

    Raises
    ------
    BadCheckpoint
    """
    found = load_checkpoint(folder, MODEL)
    card = found.card
    if "size" not in card or "meta" not in card:
        raise BadCheckpoint(
            f"Checkpoint {Path(folder).name} is no transformer.",
            "Train one with: python -m backend spatialformer train",
        )
    vocabulary = Vocabulary(tuple(card["meta"]), tuple(card["genes"]))
    model = Former(size_of(dict(card["size"])))
    weights = {
        k: torch.from_numpy(np.array(v, dtype=np.float32))
        for k, v in found.tensors.items()
        if k != "medians"
    }
    _fill(model, weights, Path(folder).name)
    if len(vocabulary) != model.size.tokens or "medians" not in found.tensors:
        raise _other(Path(folder).name)
    medians = np.array(found.tensors["medians"], dtype=np.float32)
    return Pretrained(model.eval(), vocabulary, medians, card)


def _fill(model: Former, weights: Mapping[str, Tensor], name: str) -> None:
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise _other(name) from error


def _other(name: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"Checkpoint {name} does not fit the size on its card.", "Copy it again, or train it again."
    )


def save_training(folder: Path, training: Training, about: Mapping[str, Any]) -> None:
    """Write where a training is, so that it can go on; replaces an earlier state."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, value in training.model.state_dict().items():
        tensors[MODEL_PART + name] = value.cpu().numpy()
    tensors["uncertainty"] = training.uncertainty.s.detach().cpu().numpy()
    for i, state in training.optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"{OPTIMISER_PART}{i}.{name}"] = np.asarray(value.cpu())
    card = {
        **about,
        "model": MODEL,
        "version": VERSION,
        "step": training.step,
        "seconds": training.seconds,
        "losses": training.losses,
    }
    save_checkpoint(folder, Checkpoint(card, tensors), replace=True)


def resume_training(folder: Path, training: Training, about: Mapping[str, Any]) -> Training:
    """Put a new training where the saved one was.

    Parameters
    ----------
    folder : Path
    training : Training
        New, of the same size and parameters.
    about : mapping
        Must be what the saved one was started with.

    Raises
    ------
    BadCheckpoint
        If there is none, or it was started with other data, sizes or parameters.
    """
    found = load_checkpoint(folder, MODEL)
    other = [k for k in about if json.dumps(found.card.get(k)) != json.dumps(about[k])]
    if other:
        raise BadCheckpoint(
            f"The training in {Path(folder).name} was started with another {', '.join(other)}.",
            "Give the same data and options, or start anew in another folder.",
        )
    weights = {k[len(MODEL_PART) :]: torch.from_numpy(np.array(v))
               for k, v in found.tensors.items() if k.startswith(MODEL_PART)}  # fmt: skip
    _fill(training.model, weights, Path(folder).name)
    with torch.no_grad():
        training.uncertainty.s.copy_(torch.from_numpy(np.array(found.tensors["uncertainty"])))
    training.optimiser.load_state_dict(_optimiser_state(training, found.tensors))
    training.step, training.seconds = int(found.card["step"]), float(found.card["seconds"])
    training.losses = {k: float(v) for k, v in found.card["losses"].items()}
    return training


def _optimiser_state(training: Training, tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(OPTIMISER_PART):
            index, _, name = key[len(OPTIMISER_PART) :].partition(".")
            state.setdefault(int(index), {})[name] = torch.from_numpy(np.array(value))
    return {"state": state, "param_groups": training.optimiser.state_dict()["param_groups"]}
