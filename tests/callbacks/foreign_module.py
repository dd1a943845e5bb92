"""A LightningModule that uses nothing of expnet but `ClipSample`, and small networks for the metrics."""

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from expnet.callbacks.clip_sample import ClipSample

CLIPS = 5
PIXELS = 32


def make_sample(index: int) -> ClipSample:
    """Return clip ``index``, always the same; clips have different lengths."""
    generator = torch.Generator().manual_seed(index)
    frames = 12 + 3 * index

    def picture() -> Tensor:
        return torch.randint(0, 256, (frames, 3, PIXELS, PIXELS), generator=generator, dtype=torch.uint8)

    def points() -> Tensor:
        return torch.rand(frames, 68, 2, generator=generator) * PIXELS

    return ClipSample(
        clip_id=f"clip{index}",
        frames=picture(),
        target_frames=picture(),
        audio=torch.rand(frames * 640, generator=generator) * 0.2 - 0.1,
        landmarks=points(),
        target_landmarks=points(),
        pose=torch.rand(frames, 6, generator=generator),
        target_pose=torch.rand(frames, 6, generator=generator),
        valid=torch.rand(frames, generator=generator) > 0.2,
    )


class Clips(Dataset[int]):
    """The indices of the clips."""

    def __init__(self, clips: int) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> int:
        return index


class Share(Sampler[int]):
    """Splits the clips unevenly: the first process gets all but the last."""

    def __init__(self, clips: int, rank: int, world: int) -> None:
        last = clips - 1
        self.mine = list(range(clips)) if world == 1 else ([*range(last)] if rank == 0 else [last])

    def __iter__(self) -> Iterator[int]:
        return iter(self.mine)

    def __len__(self) -> int:
        return len(self.mine)


class ForeignModule(pl.LightningModule):
    """Trains a single number; its validation step returns samples in a dict."""

    def __init__(self, *, validation_clips: int = CLIPS, share: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.validation_clips, self.share = validation_clips, share

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch[:, None].to(self.layer.weight.dtype)).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> dict[str, object]:
        return {"samples": [make_sample(int(index)) for index in batch]}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(Clips(4))

    def val_dataloader(self) -> DataLoader[int]:
        clips = Clips(self.validation_clips)
        share = Share(len(clips), self.trainer.global_rank, self.trainer.world_size) if self.share else None
        return DataLoader(clips, sampler=share)


class Averages(nn.Module):
    """Returns eight features of an image: means over patches of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(12, 8, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.mix(nn.functional.adaptive_avg_pool2d(images, 2).flatten(1))


class SmallSyncNet(nn.Module):
    """Stands in for SyncNet: features of five frames and of twenty columns by random matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.lips, self.sound = nn.Linear(3 * 5, 8), nn.Linear(13 * 20, 8)

    def forward(self, frames: Tensor, cepstra: Tensor) -> tuple[Tensor, Tensor]:
        colours = frames.float().mean(dim=(-2, -1)) / 255  # (T, 3)
        windows = cepstra.unfold(1, 20, 4).transpose(0, 1).flatten(1)  # (N, 260)
        return self.lips(colours.unfold(0, 5, 1).flatten(1)), self.sound(windows)


def seeded(network: type[nn.Module]) -> nn.Module:
    """Return the network with the same weights in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return network()


def trainer(path: object, *callbacks: pl.Callback, **options: object) -> pl.Trainer:
    """Return a quiet CPU Trainer that validates after every epoch of four steps."""
    quiet = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": path,
    }
    return pl.Trainer(callbacks=list(callbacks), **{**quiet, **options})  # type: ignore[arg-type]
