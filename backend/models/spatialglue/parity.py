"""Run the reference's network on a fixture of its own tensors and compare everything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import BadFile, Fault
from backend.core.job import RunContext
from backend.core.parity import ParityRow, compared
from backend.models.spatialglue.network import Attention, Output, Weights
from backend.models.spatialglue.train_reference import train

#: Errors allowed: of the first outputs and the first losses, of all losses, of the last outputs.
STEP0, LOSS, FINAL = 1e-5, 1e-3, 1e-3
#: Losses held to the first of these.
EARLY = 10
#: Arrays that every fixture has; the rest is named by its modalities.
NEEDED = ("feat1", "weights", "losses", "init__atten_cross.w_omega", "init__atten_cross.u_omega")
_MODALITY = re.compile(r"feat(\d+)$")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Fixture:
    """Inputs of a run of the reference, and what it gave."""

    features: list[NDArray[np.float32]]
    spatial: list[csr_matrix]
    feature: list[csr_matrix]
    term_weights: list[float]
    weights: Weights
    losses: NDArray[np.float64]
    expected: Arrays


def parity_rows(fixture: Fixture, ctx: RunContext, epochs: int | None = None) -> list[ParityRow]:
    """Return every loss and tensor of a run beside the reference.

    Parameters
    ----------
    fixture : Fixture
    ctx : RunContext
    epochs : int or None
        As many as the fixture has losses where None; with fewer, last outputs are not compared.
    """
    whole = len(fixture.losses)
    count = min(epochs or whole, whole)
    trained = train(
        fixture.features, fixture.spatial, fixture.feature, fixture.term_weights, count, ctx,
        fixture.weights,
    )  # fmt: skip
    found = _named("step0__", trained.first)
    if count == whole:
        found |= _named("final__", trained.last)
    tensors = [
        compared(name, found[name], expected, STEP0 if name.startswith("step0") else FINAL)
        for name, expected in sorted(fixture.expected.items())
        if name in found
    ]
    return _losses(trained.losses, fixture.losses[:count]) + tensors


def fixture_of(name: str, arrays: Arrays) -> Fixture:
    """Return a fixture from its arrays; sizes, modalities and epochs follow from their shapes.

    Raises
    ------
    BadFile
        With everything that is missing or does not fit.
    """
    numbers = sorted(int(m[1]) for m in map(_MODALITY.match, arrays) if m)
    _refuse_incomplete(name, arrays, numbers)
    n = len(arrays[f"feat{numbers[0]}"])

    def graph(kind: str, m: int) -> csr_matrix:
        i, j = arrays[f"adj_{kind}{m}_idx"].astype(np.int64)
        return csr_matrix((arrays[f"adj_{kind}{m}_val"], (i, j)), shape=(n, n))

    def parameter(key: str) -> torch.Tensor:
        return torch.tensor(arrays[f"init__{key}"], dtype=torch.float32, requires_grad=True)

    def block(key: str) -> Attention:
        return Attention(parameter(f"{key}.w_omega"), parameter(f"{key}.u_omega"))

    weights = Weights(
        tuple(parameter(f"encoder_omics{m}.weight") for m in numbers),
        tuple(parameter(f"decoder_omics{m}.weight") for m in numbers),
        tuple(block(f"atten_omics{m}") for m in numbers),
        block("atten_cross"),
    )
    return Fixture(
        [arrays[f"feat{m}"].astype(np.float32) for m in numbers],
        [graph("sp", m) for m in numbers],
        [graph("ft", m) for m in numbers],
        [float(w) for w in arrays["weights"].ravel()],
        weights,
        np.atleast_2d(arrays["losses"]).astype(np.float64),
        {k: v for k, v in arrays.items() if k.startswith(("step0__", "final__"))},
    )


def _refuse_incomplete(name: str, arrays: Arrays, numbers: list[int]) -> None:
    """Raise BadFile with all arrays that a run needs and the fixture lacks."""
    needed = list(NEEDED)
    for m in numbers or [1, 2]:
        needed += [f"feat{m}"] + [f"adj_{g}{m}_{p}" for g in ("sp", "ft") for p in ("idx", "val")]
        needed += [f"init__{part}_omics{m}.weight" for part in ("encoder", "decoder")]
        needed += [f"init__atten_omics{m}.{part}" for part in ("w_omega", "u_omega")]
    faults = [
        Fault("it is missing", key, "an array of the reference's run", "Save it with the others.")
        for key in dict.fromkeys(needed)
        if key not in arrays
    ]
    terms = len(numbers) ** 2
    for key, size in () if faults else (("weights", terms), ("losses", terms + 1)):
        if arrays[key].shape[-1:] != (size,):
            expected = f"{size} in the last dimension, for {len(numbers)} modalities"
            what = f"its shape is {arrays[key].shape}"
            faults.append(Fault(what, key, expected, "Save it as the reference gave it."))
    if faults:
        raise BadFile(name, faults)


def _named(prefix: str, out: Output) -> dict[str, NDArray[Any]]:
    """Return the tensors of a forward pass under the names that fixtures use."""
    named = {"emb_latent_combined": out.joint, "alpha": out.alpha}
    is_pair = len(out.latent) == 2
    for m, latent in enumerate(out.latent):
        named[f"emb_latent_omics{m + 1}"] = latent
        named[f"emb_recon_omics{m + 1}"] = out.reconstruction[m]
        named[f"alpha_omics{m + 1}"] = out.alpha_within[m]
    for (m, n), y in out.cycle.items():
        through = "" if is_pair else f"_{n + 1}"
        named[f"emb_latent_omics{m + 1}_across_recon{through}"] = y
    return {prefix + key: tensor.numpy() for key, tensor in named.items()}


def _losses(ours: NDArray[np.float64], reference: NDArray[np.float64]) -> list[ParityRow]:
    """Rows of every loss: the first alone, the worst of the early ones, the worst of all."""
    terms = reference.shape[1] - 1
    m = round(terms**0.5)
    names = [f"rec{i + 1}" for i in range(m)] + [f"corr{i + 1}" for i in range(terms - m)]
    rows = []
    for j, name in enumerate([*names, "total"]):
        each = [compared("", a, b, LOSS) for a, b in zip(ours[:, j], reference[:, j], strict=True)]
        early = each[:EARLY]
        for title, some, tolerance in (
            ("step 0", each[:1], STEP0),
            (f"worst of the first {len(early)}", early, STEP0),
            (f"worst of {len(each)}", each, LOSS),
        ):
            worst = max(some, key=lambda row: row.error)
            rows.append(
                ParityRow(f"loss {name}, {title}", worst.ours, worst.reference, worst.error,
                          tolerance)
            )  # fmt: skip
    return rows
