"""One training run in several processes of one CPU thread each, which average their gradients at every step.

On cores that other programs use too, one process with several threads waits at every operation for the thread
that was held up; processes meet once a step. This file knows neither the model nor the data.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, distributed, nn

Work = Callable[[int, int], None]


def run_in_processes(work: Work, processes: int) -> None:
    """Call ``work(rank, processes)`` in that many spawned processes, or here if it is one."""
    if processes == 1:
        work(0, 1)
        return
    with TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        torch.multiprocessing.spawn(_member, (processes, meeting, work), nprocs=processes)


def _member(rank: int, processes: int, meeting: str, work: Work) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=processes)
    try:
        work(rank, processes)
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: Iterable[nn.Parameter], processes: int) -> None:
    """Replace every gradient by its mean over the processes (the same ones must be there in each)."""
    if processes == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= processes
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def average(value: Tensor, processes: int) -> Tensor:
    """Mean of ``value`` over the processes."""
    if processes > 1:
        distributed.all_reduce(value)
    return value / processes
