"""Processes that share the sections: every section's encoder lives in one of them.

Expression and encoder of a section stay with their owner. What the sections have in common is
small: embeddings of the cells of a batch are shown to all, gradients of the gene embedding are
added up, and everybody trains the same discriminators on the same rows. Batch normalisation is
therefore over the same cells as in a single process, and the result differs by rounding only.

    torchrun --nproc-per-node 2 -m backend train fusemap ATLAS.zarr -o OUT --mode parity
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from backend.core.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Team:
    """One process among those that share the work."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def owner(self, section: int) -> int:
        """Return the process that owns a section."""
        return section % self.size

    def own(self, n_sections: int) -> list[int]:
        """Return the sections of this process.

        Raises
        ------
        BadRequest
            With more processes than sections.
        """
        if n_sections < self.size:
            raise BadRequest(
                f"{self.size} processes cannot share {n_sections} sections.",
                f"Start {n_sections} or fewer.",
            )
        return [v for v in range(n_sections) if self.owner(v) == self.rank]

    def shown(self, section: int, rows: Tensor | None) -> Tensor:
        """Return the owner's (b, c) float32 ``rows`` of a section to every process.

        The owner keeps its gradients; to the others the rows are constants, which is all they need:
        each computes the whole loss and takes from it the gradients of its own sections.
        """
        if self.size == 1:
            assert rows is not None
            return rows
        owner = self.owner(section)
        device = _device()
        shape = torch.tensor(rows.shape if rows is not None else (0, 0), device=device)
        dist.broadcast(shape, owner)
        sent = (
            rows.detach().clone()
            if rows is not None
            else torch.empty(tuple(shape.tolist()), device=device)
        )
        dist.broadcast(sent, owner)
        return rows if rows is not None else sent

    def added(self, value: Tensor) -> Tensor:
        """Return the sum of ``value`` over all processes; it is changed in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


def join_team(device: str) -> Team:
    """Return the team that torchrun started, or a team of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team()
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return Team(dist.get_rank(), size)


def leave_team(team: Team) -> None:
    """Part, where there was more than one process, once all are done."""
    if team.size > 1 and dist.is_initialized():
        team.wait()
        dist.destroy_process_group()
        # The group's threads end with its last reference; at exit they would abort the process.
        gc.collect()


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
