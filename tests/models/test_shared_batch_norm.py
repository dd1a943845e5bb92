"""Batch normalisation over processes: half of a batch on each of two equals the whole on one."""

from __future__ import annotations

import socket
from pathlib import Path

import torch
import torch.distributed
from torch import nn
from torch.multiprocessing.spawn import start_processes

from expnet.models.shared_batch_norm import SharedBatchNorm, share_batch_norm


def batch() -> torch.Tensor:
    return 3 + 2 * torch.randn(4, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 4, 1), share_batch_norm(nn.Sequential(nn.BatchNorm3d(4))))


def result(part: torch.Tensor, scale: float) -> dict[str, torch.Tensor]:
    """Output, gradients and running statistics after a step whose loss is a mean over the whole batch."""
    made = network()
    output = made(part)
    (output.pow(3).sum() / scale).backward()
    gradients = {f"grad {name}": value.grad for name, value in made.named_parameters() if value.grad is not None}
    return {"output": output.detach(), **gradients, **{k: v.clone() for k, v in made.named_buffers()}}


def _half(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.save(result(batch()[2 * rank : 2 * rank + 2], 1.0), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_halves_are_normalised_like_the_whole(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    start_processes(_half, (port, str(tmp_path)), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    whole = result(batch(), 1.0)
    torch.testing.assert_close(torch.cat([first["output"], second["output"]]), whole["output"])
    for name, value in whole.items():
        if name.startswith("grad"):
            torch.testing.assert_close(first[name] + second[name], value, rtol=1e-4, atol=1e-3)
        elif name != "output":
            torch.testing.assert_close(first[name], value)
            torch.testing.assert_close(second[name], value)


def test_one_process_keeps_every_bit() -> None:
    plain = nn.BatchNorm2d(3)
    shared = share_batch_norm(nn.Sequential(nn.BatchNorm2d(3)))
    assert isinstance(shared[0], SharedBatchNorm)  # type: ignore[index]
    images = batch()[:, :, 0]
    assert torch.equal(plain(images), shared(images))
    assert torch.equal(plain.running_var, shared[0].running_var)  # type: ignore[index, arg-type]
    assert plain.state_dict().keys() == shared[0].state_dict().keys()  # type: ignore[index]
