"""A training as the worker runs one, for the bench: of low priority and one thread.

``python -m backend.cli.bench_job PARENT`` trains until that process, which started it, has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


def train(parent: int) -> None:
    """Train a small network for as long as the parent lives."""
    import torch

    os.nice(10)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256))
    step = torch.optim.Adam(net.parameters())
    cells = torch.randn(4096, 256)
    sys.stdout.write("training\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        step.zero_grad()
        torch.nn.functional.mse_loss(net(cells), cells).backward()
        step.step()


@contextmanager
def training() -> Iterator[None]:
    """Train meanwhile, in another process."""
    command = [sys.executable, "-m", "backend.cli.bench_job", str(os.getpid())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def can_train() -> bool:
    """Return whether torch is installed."""
    return find_spec("torch") is not None


if __name__ == "__main__":
    train(int(sys.argv[1]))
