"""The state of an unfinished training: one file per process, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from backend.models.fusemap.parity.schedule import Progress
from backend.models.fusemap.parity.training import Training

Tensors = dict[str, Tensor]


def mark_of(t: Training, genes: tuple[str, ...]) -> str:
    """Digest all that a training depends on; a state with another mark is not gone on from."""
    about = [asdict(t.settings), t.seed, t.team.size, t.sizes, genes]
    digest = hashlib.sha256(json.dumps(about).encode())
    for o in t.own:
        digest.update(o.data.x.data.tobytes() + o.data.graph.indices.tobytes())
    return digest.hexdigest()


def save_state(folder: Path, t: Training, mark: str) -> None:
    """Write the state beside the old one and put it in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        **_named("network", t.network.state_dict()),
        **_named("best", t.best or {}),
        **_squares("adversary", t.adversary),
        **_squares("autoencoder", t.autoencoder),
    }
    for o in t.own:
        tensors[f"weight/cell/{o.section}"] = torch.from_numpy(o.cell_weight)
        tensors[f"weight/niche/{o.section}"] = torch.from_numpy(o.niche_weight)
    card = {
        "mark": mark, "phase": t.phase, "epoch": t.epoch, "done": t.done, "weight": t.weight,
        "progress": t.progress.as_json(), "history": t.history,
    }  # fmt: skip
    path = _path(folder, t)
    beside = path.with_suffix(".new")
    whole = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    save_file(whole, beside, metadata={"state": json.dumps(card)})
    os.replace(beside, path)


def load_state(folder: Path, t: Training, mark: str) -> bool:
    """Put a saved state into ``t``; return whether there was one of the same training.

    Where processes saved different epochs, all start anew.
    """
    found = _read(_path(folder, t), mark)
    done = -1.0 if found is None else float(found[0]["done"])
    if float(t.team.added(torch.tensor(done, device=t.device))) != t.team.size * done:
        return False
    if found is None:
        return False
    card, tensors = found
    t.network.load_state_dict(_under("network", tensors))
    t.best = _under("best", tensors) or None
    _put_squares("adversary", t.adversary, tensors)
    _put_squares("autoencoder", t.autoencoder, tensors)
    t.own = [
        replace(
            o,
            cell_weight=tensors[f"weight/cell/{o.section}"].numpy(),
            niche_weight=tensors[f"weight/niche/{o.section}"].numpy(),
        )
        for o in t.own
    ]
    t.phase, t.epoch, t.done = card["phase"], card["epoch"], card["done"]
    t.weight, t.history = card["weight"], card["history"]
    t.progress = Progress.from_json(card["progress"])
    return True


def _path(folder: Path, t: Training) -> Path:
    return folder / f"state-{t.team.rank}-of-{t.team.size}.safetensors"


def _read(path: Path, mark: str) -> tuple[dict[str, Any], Tensors] | None:
    """Card and tensors of a state with this mark, or None."""
    try:
        with safe_open(path, framework="pt") as opened:
            card = json.loads((opened.metadata() or {})["state"])
            if card["mark"] != mark:
                return None
            names = list(opened.keys())
            return card, {name: opened.get_tensor(name) for name in names}
    except (OSError, KeyError, ValueError, SafetensorError):
        return None


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


def _under(prefix: str, tensors: Tensors) -> Tensors:
    start = f"{prefix}/"
    return {n.removeprefix(start): v for n, v in tensors.items() if n.startswith(start)}


def _squares(prefix: str, optimiser: torch.optim.Optimizer) -> Tensors:
    """Return what RMSprop remembers of a parameter: mean square gradient and steps."""
    out = {}
    for i, kept in optimiser.state_dict()["state"].items():
        out[f"{prefix}/{i}/square"] = kept["square_avg"]
        out[f"{prefix}/{i}/step"] = torch.as_tensor(kept["step"])
    return out


def _put_squares(prefix: str, optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    kept = _under(prefix, tensors)
    n = sum(len(group["params"]) for group in optimiser.param_groups)
    whole = optimiser.state_dict()
    whole["state"] = {
        i: {"square_avg": kept[f"{i}/square"], "step": kept[f"{i}/step"]}
        for i in range(n)
        if f"{i}/square" in kept
    }
    optimiser.load_state_dict(whole)
