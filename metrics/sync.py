"""Lip sync judged by SyncNet: distance (LSE-D), confidence (LSE-C) and offset, under named protocols.

Published scores of the same videos differ by more than methods do, because the steps around the network differ. Each
published sequence of steps is a `SyncProtocol`; scores of different protocols are not comparable.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expnet.metrics.base import ClipMetric, unweighted
from expnet.metrics.extractor import Extractor, as_extractor
from expnet.metrics.functional.cepstra import mel_cepstra
from expnet.metrics.functional.codec import recode_audio, recode_video
from expnet.metrics.functional.face_crop import CROP_SIZE, crop_faces, find_tracks, resize_frames
from expnet.metrics.functional.sync import (
    SyncResult,
    UnscorableClipError,
    best_result,
    mean_result,
    read_curve,
    shifted_distances,
)

SAMPLES_PER_FRAME = 640
_WINDOW = 5


@dataclass(frozen=True)
class SyncProtocol:
    """The steps from a video to the network.

    Attributes:
        name: Key in `SYNC_PROTOCOLS`.
        crops: Whether faces are cropped if boxes are given; otherwise whole frames are used.
        resizes: Whether frames that are not 224 x 224 are resized; otherwise they are refused.
        min_track: A face must be detected in more frames than this.
        min_size: The longer side of the mean face box must exceed this, in pixels.
        source_video: Lossy steps before the crop, see `expnet.metrics.functional.codec`.
        crop_video: Lossy steps after the crop.
        source_audio: Lossy steps of the audio before the crop.
        crop_audio: Lossy steps of the audio of each face track.
        network_video: Lossy steps directly before the network, with or without a crop.
        tracks: What is reported of a clip with several face tracks: their ``mean``, or the ``best`` confidence and the
            best distance of any.
    """

    name: str
    crops: bool = True
    resizes: bool = True
    min_track: int = 100
    min_size: float = 100.0
    source_video: tuple[str, ...] = ()
    crop_video: tuple[str, ...] = ()
    source_audio: tuple[str, ...] = ()
    crop_audio: tuple[str, ...] = ()
    network_video: tuple[str, ...] = ("jpeg",)
    tracks: Literal["mean", "best"] = "mean"

    @property
    def steps(self) -> dict[str, Any]:
        """The steps as plain values, for the protocol of a result; without ``tracks`` where it is the mean."""
        steps = asdict(self)
        if self.tracks == "mean":  # it was the only way when the first results were written, whose hash must not change
            del steps["tracks"]
        return steps


SYNC_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # https://github.com/joonson/syncnet_python: run_pipeline.py and run_syncnet.py; without boxes, demo_syncnet.py
        SyncProtocol(
            name="reference",
            resizes=False,
            source_video=("mpeg4_q2", "jpeg_q2"),
            crop_video=("opencv_mpeg4",),
            source_audio=("mp3",),
        ),
        # https://github.com/Rudrabha/Wav2Lip: evaluation/scores_LSE/calculate_scores_LRS.py
        SyncProtocol(name="wav2lip_lrs", crops=False),
        # https://github.com/bytedance/LatentSync: eval/eval_sync_conf.py
        SyncProtocol(
            name="latentsync",
            min_track=50,
            source_video=("h264", "jpeg_q2"),
            crop_video=("opencv_mpeg4",),
            source_audio=("aac",),
            crop_audio=("aac",),
        ),
        # https://github.com/congwei1230/MoChaBench: eval-lipsync/script/syncnet_pipeline.py, the best track of a clip
        SyncProtocol(
            name="mochabench",
            resizes=False,
            min_track=50,
            source_video=("mpeg4_q2", "jpeg_q2"),
            crop_video=("opencv_mpeg4",),
            tracks="best",
        ),
        # No lossy step, and any face that is detected in seven frames, which the median filter of the crop needs.
        SyncProtocol(name="direct", min_track=6, min_size=0.0, network_video=()),
    )
}


def measure_sync(
    frames: Tensor,
    audio: Tensor,
    extractor: Extractor | nn.Module,
    *,
    protocol: str | SyncProtocol = "direct",
    boxes: Tensor | None = None,
) -> SyncResult:
    """Measure how well the lips of one clip are synchronised with its audio.

    Args:
        frames: (T, 3, H, W) uint8 RGB, 25 frames/s: whole frames with ``boxes``, face crops without.
        audio: Mono audio at 16 kHz, (S,) floating point in [-1, 1], starting with the first frame.
        extractor: SyncNet, which maps BGR face crops (T, 3, 224, 224) uint8 and cepstral coefficients (13, N) to the
            features of windows of five frames (T - 4, F) and of twenty columns ((N - 20) // 4 + 1, F).
        protocol: Key of `SYNC_PROTOCOLS`, or a protocol of your own.
        boxes: Left, top, right, bottom of the face in pixels, (T, 4), NaN without a face.
            `expnet.metrics.functional.face_boxes` computes them from landmarks; ``wav2lip_lrs`` ignores them.

    Returns:
        The scores, averaged over the face tracks of the clip, of which there is nearly always one, or the best of them.

    Raises:
        UnscorableClipError: The clip is too short, or no face is tracked long enough or is large enough. A ValueError.
        ValueError: Shapes, types or the name of the protocol are wrong.
    """
    chosen = _protocol(protocol)
    _check_clip(frames, audio, boxes)
    network = as_extractor(extractor)
    audio = audio.to(frames.device)
    if boxes is None or not chosen.crops:
        return _measure_faces(frames, audio, network, chosen)
    tracks = find_tracks(boxes, min_track=chosen.min_track, min_size=chosen.min_size)
    if not tracks:
        raise UnscorableClipError(
            f"no face is seen in more than {chosen.min_track} frames and larger than {chosen.min_size:.0f} pixels, "
            f"which the protocol {chosen.name} requires"
        )
    frames, audio = recode_video(frames, chosen.source_video), recode_audio(audio, chosen.source_audio)
    results = []
    for track in tracks:
        faces = recode_video(crop_faces(frames[track.frames], track.boxes), chosen.crop_video)
        track_audio = audio[track.frames.start * SAMPLES_PER_FRAME : track.frames.stop * SAMPLES_PER_FRAME]
        results.append(_measure_faces(faces, recode_audio(track_audio, chosen.crop_audio), network, chosen))
    if len(results) == 1:
        return results[0]
    return best_result(results) if chosen.tracks == "best" else mean_result(results)


def _measure_faces(faces: Tensor, audio: Tensor, network: Extractor, protocol: SyncProtocol) -> SyncResult:
    """Compare face crops (T, 3, H, W) with their audio."""
    if not protocol.resizes and faces.shape[-2:] != (CROP_SIZE, CROP_SIZE):
        raise ValueError(
            f"protocol {protocol.name} takes face crops of {CROP_SIZE} x {CROP_SIZE} pixels, got "
            f"{tuple(faces.shape[-2:])}; pass boxes to crop whole frames"
        )
    length = min(len(faces), len(audio) // SAMPLES_PER_FRAME)
    windows = length - _WINDOW  # one window fewer than would fit, as in the original
    if windows < 1:
        raise UnscorableClipError(f"SyncNet needs at least {_WINDOW + 1} frames with audio, but the clip has {length}")
    faces = resize_frames(recode_video(faces, protocol.network_video))
    cepstra = mel_cepstra(audio[: length * SAMPLES_PER_FRAME])
    lip_features, audio_features = network(faces[: length - 1].flip(1), cepstra[:, : 4 * (length - 1)])
    return read_curve(shifted_distances(lip_features, audio_features), windows)


def _protocol(name: str | SyncProtocol) -> SyncProtocol:
    if isinstance(name, SyncProtocol):
        return name
    if name not in SYNC_PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(SYNC_PROTOCOLS)}, got {name!r}")
    return SYNC_PROTOCOLS[name]


def _check_clip(frames: Tensor, audio: Tensor, boxes: Tensor | None) -> None:
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype is not torch.uint8:
        raise ValueError(f"frames must be (T, 3, H, W) uint8, got {tuple(frames.shape)} {frames.dtype}")
    if audio.ndim != 1 or not audio.is_floating_point():
        raise ValueError(f"audio must be (S,) floating point, got {tuple(audio.shape)} {audio.dtype}")
    if boxes is not None and boxes.shape != (len(frames), 4):
        raise ValueError(f"boxes must be ({len(frames)}, 4), got {tuple(boxes.shape)}")


class _SyncMetric(ClipMetric):
    """One of SyncNet's three scores, averaged over clips.

    Args:
        extractor: SyncNet, see `measure_sync`; it does not become a submodule of the metric.
        protocol_name: Key of `SYNC_PROTOCOLS`, or a protocol of your own.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``update`` takes frames (B, T, 3, H, W) uint8 RGB, audio (B, S) and boxes (B, T, 4) or None, as `measure_sync` does
    for one clip. Clips that cannot be scored (too short, no face) are counted in ``unscored``.
    """

    options: ClassVar[tuple[str, ...]] = ("protocol_name",)
    _FIELD: ClassVar[str]

    def __init__(
        self, extractor: Extractor | nn.Module, *, protocol_name: str | SyncProtocol = "direct", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.extractor = as_extractor(extractor)
        self.sync_protocol = _protocol(protocol_name)
        self.protocol_name = self.sync_protocol.name

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that must be equal for two scores to be comparable: every step, and the weights."""
        return {
            **super().protocol,
            "steps": self.sync_protocol.steps,
            "extractor": self.extractor.name,
            "checksum": self.extractor.checksum,
        }

    def add(self, result: SyncResult | None) -> None:
        """Add a clip that `measure_sync` has measured, so that one measurement serves all three scores.

        None stands for a clip that could not be scored.
        """
        self.update(result)

    def score(
        self, frames: Tensor | SyncResult | None, audio: Tensor | None = None, boxes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return each clip's score (B,), NaN for clips that cannot be scored, and weight 1."""
        if not isinstance(frames, Tensor):
            value = torch.nan if frames is None else getattr(frames, self._FIELD)
            return unweighted(torch.tensor([value], dtype=torch.float64))
        if audio is None or len(frames) != len(audio):
            raise ValueError("frames (B, T, 3, H, W) and audio (B, S) must be of equally many clips")
        values = [
            self._measure(clip, recording, None if boxes is None else boxes[number])
            for number, (clip, recording) in enumerate(zip(frames, audio, strict=True))
        ]
        return unweighted(torch.tensor(values, dtype=torch.float64))

    def _measure(self, frames: Tensor, audio: Tensor, boxes: Tensor | None) -> float:
        try:
            result = measure_sync(frames, audio, self.extractor, protocol=self.sync_protocol, boxes=boxes)
        except UnscorableClipError:
            return float("nan")
        return float(getattr(result, self._FIELD))


class SyncDistance(_SyncMetric):
    """LSE-D: the feature distance between lips and audio at the best shift; lower is better.

    Arguments and input are those of `_SyncMetric`; ``functional.shifted_distances`` has the formula.
    """

    _FIELD = "distance"
    higher_is_better = False
    name = "sync_distance"
    title = "Sync distance (LSE-D)"
    unit = "feature distance"
    explanation = (
        "Distance that SyncNet finds between lips and audio at the best delay. A constant delay is not penalised, so "
        "read the offset with it. Values below those of the real clips are not better: compare with the real clips. It "
        "depends on crop, compression and network input, so only equal protocols are comparable."
    )


class SyncConfidence(_SyncMetric):
    """LSE-C: the median feature distance over shifts minus that at the best shift; higher is better.

    Arguments and input are those of `_SyncMetric`; ``functional.shifted_distances`` has the formula.
    """

    _FIELD = "confidence"
    higher_is_better = True
    name = "sync_confidence"
    title = "Sync confidence (LSE-C)"
    unit = "feature distance"
    explanation = (
        "Margin by which the best delay beats the median over all delays within 15 frames. Near 0, lips and audio are "
        "unrelated or the delay lies outside the search range. Below a few seconds it depends on the clip's length, "
        "since shifts reach beyond the ends. Models trained with SyncNet can exceed real clips."
    )


class SyncOffset(_SyncMetric):
    """Delay between audio and lips in video frames of 40 ms; positive if the audio comes first, ideally 0.

    Arguments and input are those of `_SyncMetric`.
    """

    _FIELD = "offset"
    higher_is_better = None
    ideal = 0.0
    name = "sync_offset"
    title = "Sync offset"
    unit = "frames"
    explanation = (
        "Delay at which SyncNet finds lips and audio most similar, in frames of 40 ms; positive if the audio comes "
        "before the lips. In the mean over clips, opposite signs cancel. A clip at ±15, the edge of the search, has an "
        "unknown offset, and a clip whose confidence is near 0 has no meaningful one."
    )
