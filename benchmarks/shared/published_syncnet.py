"""The steps of the published SyncNet script, as a reference for `expnet.metrics.measure_sync`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import python_speech_features
import torch
from torch import nn

from expnet.audio.wave import load_audio
from expnet.media.video_reader import read_video
from expnet.models.syncnet import SyncNet


def random_syncnet() -> SyncNet:
    """SyncNet with random weights that preserve the variation of its input, and distances of a realistic size."""
    torch.manual_seed(0)
    network = SyncNet().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    for first, head in ((network.netcnnlip[0], network.netfclip[3]), (network.netcnnaud[0], network.netfcaud[3])):
        first.weight /= 100 if first is network.netcnnlip[0] else 10
        head.weight /= 8
    return network


def published_scores(frames: np.ndarray, audio: np.ndarray, network: SyncNet, device: str) -> tuple[float, float, int]:
    """Distance, confidence and offset by the steps of the published script, without its intermediate files."""
    images = np.stack([np.ascontiguousarray(frame[:, :, ::-1]) for frame in frames], axis=3)  # (224, 224, 3, T)
    video = torch.from_numpy(images[None].transpose(0, 3, 4, 1, 2).astype(float)).float()  # (1, 3, T, 224, 224)
    samples = np.round(audio * 32768.0).clip(-32768, 32767).astype(np.int16)
    cepstra = torch.from_numpy(python_speech_features.mfcc(samples, 16_000).T[None, None]).float()
    last = min(len(frames), len(audio) // 640) - 5
    lips, audio_features = [], []
    for start in range(0, last, 20):
        chosen = range(start, min(last, start + 20))
        batch = torch.cat([video[:, :, i : i + 5] for i in chosen]).to(device)
        lips.append(network.netfclip(network.netcnnlip(batch).flatten(1)).cpu())
        batch = torch.cat([cepstra[..., 4 * i : 4 * i + 20] for i in chosen]).to(device)
        audio_features.append(network.netfcaud(network.netcnnaud(batch).flatten(1)).cpu())
    padded = nn.functional.pad(torch.cat(audio_features), (0, 0, 15, 15))
    rows = [
        nn.functional.pairwise_distance(lip.repeat(31, 1), padded[i : i + 31]) for i, lip in enumerate(torch.cat(lips))
    ]
    curve = torch.stack(rows, 1).mean(1)
    smallest, place = curve.min(0)
    return float(smallest), float(curve.median() - smallest), 15 - int(place)


def read_clip(path: Path, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, H, W, 3) and audio (S,) of the first ``limit`` frames of a video."""
    frames = np.stack(list(islice(read_video(path), limit)))
    return frames, load_audio(path)[: len(frames) * 640]
