"""From a prediction to scores: landmarks through the face model, then the metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.coefficients import split_pose
from expnet.config.evaluate import ProtocolConfig
from expnet.errors import DataError
from expnet.evaluation.protocol import STORE_RULES
from expnet.evaluation.report.results import MetricInfo
from expnet.evaluation.scores import Scores, describe_metric
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.face.camera import project
from expnet.face.morphable import MorphableModel
from expnet.metrics import (
    ClipMetric,
    Extractor,
    JitterRatio,
    LandmarkDistance,
    LandmarkSyncConfidence,
    LandmarkSyncDistance,
    LandmarkSyncOffset,
    MouthOpeningCorrelation,
    MouthOpeningLag,
    PeakSignalToNoiseRatio,
    PoseDiversity,
    PoseRatio,
    PoseSampleDiversity,
    SilentLipMotion,
    StructuralSimilarity,
    WithinClipR2,
)
from expnet.metrics.functional import mouth_opening
from expnet.render.reenactment import to_crop

GROUPS = {
    "mouth_opening_correlation": "Lips",
    "mouth_opening_correlation_best_lag": "Lips",
    "mouth_opening_lag": "Lips",
    "landmark_distance_mouth": "Lips",
    "silent_lip_motion": "Lips",
    "landmark_sync_distance": "Lips",
    "landmark_sync_confidence": "Lips",
    "landmark_sync_offset": "Lips",
    "landmark_distance": "Face",
    "within_clip_r2": "Face",
    "jitter_ratio": "Face",
    "psnr": "Image",
    "ssim": "Image",
}


class Scorer:
    """Scores clips with every metric that needs no rendered frames, and holds those that do.

    Args:
        model: The face model of the coefficients.
        protocol: The protocol of the evaluation.
        sync_expert: The network that scores lip synchronisation on landmarks, from
            `expnet.assets.extractors.open_sync_expert`; None leaves its metrics out.
    """

    def __init__(self, model: MorphableModel, protocol: ProtocolConfig, sync_expert: Extractor | None = None) -> None:
        self.model = model
        self.expression_metric = model.expression_metric.detach()
        self.correlation = MouthOpeningCorrelation()
        self.correlation_best = MouthOpeningCorrelation(max_lag=protocol.max_lag) if protocol.max_lag else None
        self.lag = MouthOpeningLag(max_lag=protocol.max_lag) if protocol.max_lag else None
        self.mouth = LandmarkDistance(region="mouth", normalisation=protocol.landmarks)
        self.face = LandmarkDistance(region="face", normalisation=protocol.landmarks)
        self.silence = SilentLipMotion()
        self.r2 = WithinClipR2(metric=self.expression_metric, metric_name=f"{model.name} basis")
        kinds = (LandmarkSyncDistance, LandmarkSyncConfidence, LandmarkSyncOffset) if sync_expert else ()
        self.sync = tuple(kind(sync_expert) for kind in kinds)
        self.jitter = JitterRatio()
        self.diversity = PoseDiversity()
        self.pose_diversity = PoseRatio(measure="diversity")
        self.pose_speed = PoseRatio(measure="speed")
        self.samples = PoseSampleDiversity()
        self.psnr = PeakSignalToNoiseRatio()
        self.ssim = StructuralSimilarity(variant=protocol.ssim)

    @property
    def metrics(self) -> tuple[ClipMetric, ...]:
        """Every metric, in the order of the table."""
        lips = (self.correlation, self.correlation_best, self.lag, self.mouth, self.silence, *self.sync)
        face = (self.face, self.r2, self.jitter)
        head = (self.diversity, self.pose_diversity, self.pose_speed, self.samples)
        return tuple(metric for metric in (*lips, *face, *head, self.psnr, self.ssim) if metric is not None)

    def infos(self) -> tuple[MetricInfo, ...]:
        """Return what each metric means."""
        return tuple(describe_metric(metric, GROUPS.get(metric.name, "Head")) for metric in self.metrics)

    def protocol(self) -> dict[str, Any]:
        """Return what must be equal for scores to be comparable."""
        return {"rules": dict(STORE_RULES), "metrics": {metric.name: metric.protocol for metric in self.metrics}}

    def frontal(self, clip: Clip, expression: Tensor) -> Tensor:
        """Return landmarks (T, 68, 3) of an expression on the clip's identity, without head pose, in face units."""
        return self.model.landmarks(_identity_and_crop(clip)[0], expression)

    def opening(self, clip: Clip, expression: Tensor) -> NDArray[np.float64]:
        """Return the mouth opening over time, (T,), in eye distances."""
        return mouth_opening(self.frontal(clip, expression)).numpy()

    def landmarks(self, clip: Clip, expression: Tensor) -> Tensor:
        """Return landmarks (T, 68, 2) of an expression under the clip's true pose, in pixels of its crop at 256."""
        identity, crop = _identity_and_crop(clip)
        rotation, translation = split_pose(clip.pose)
        pixels = project(self.model.landmarks(identity, expression), rotation, translation, crop)
        return to_crop(pixels, crop)

    def tracked_landmarks(self, clip: Clip) -> Tensor:
        """Return the landmarks (T, 68, 2) tracked in the real clip, in pixels of its crop at 256."""
        _, crop = _identity_and_crop(clip)
        return to_crop(torch.from_numpy(np.array(clip.track.landmarks)).double(), crop)

    @torch.no_grad()
    def score(self, clip: Clip, prediction: Prediction) -> Scores:
        """Score a prediction for one clip.

        Raises:
            DataError: The prediction has another length or is not finite, or the clip lacks identity or crop.
        """
        _check(clip, prediction)
        scores, valid = Scores(), clip.valid
        predicted, target = self.frontal(clip, prediction.expression), self.frontal(clip, clip.expression)
        scores.add(self.correlation, predicted, target, valid)
        if self.correlation_best is not None and self.lag is not None:
            scores.add(self.correlation_best, predicted, target, valid)
            scores.add_lag(self.lag, predicted, target, valid)
        scores.add(self.silence, predicted, clip.silent, valid)
        if self.sync:
            curve = self.sync[0].measure(predicted[None], clip.mel[None], valid[None])
            for metric in self.sync:
                scores.put(metric.name, float(metric.read(curve)))
        scores.add(self.jitter, predicted, target, valid)
        scores.add(self.r2, prediction.expression, clip.expression, valid)
        drawn, tracked = self.landmarks(clip, prediction.expression), self.tracked_landmarks(clip)
        scores.add(self.mouth, drawn, tracked, valid)
        scores.add(self.face, drawn, tracked, valid)
        if prediction.pose is not None:
            rotation, real = split_pose(prediction.pose)[0], split_pose(clip.pose)[0]
            scores.add(self.diversity, rotation, valid)
            scores.add(self.pose_diversity, rotation, real, valid)
            scores.add(self.pose_speed, rotation, real, valid)
        if prediction.pose_samples is not None:
            scores.add_whole(self.samples, prediction.pose_samples, valid)
        return scores


def _identity_and_crop(clip: Clip) -> tuple[Tensor, Tensor]:
    """Return identity (K,) and crop (3,) of a clip.

    Raises:
        DataError: The store holds none, so that landmarks cannot be computed.
    """
    identity, crop = clip.track.coefficients.identity, clip.track.coefficients.crop
    if identity is None or crop is None or identity.ndim != 1 or crop.ndim != 1:
        raise DataError(f"clip {clip.clip_id} has no single identity or crop, so its landmarks cannot be computed")
    return torch.from_numpy(np.array(identity)).float(), torch.from_numpy(np.array(crop)).float()


def _check(clip: Clip, prediction: Prediction) -> None:
    """Refuse a prediction that would spoil the means."""
    if prediction.expression.shape != clip.expression.shape:
        shapes = f"{tuple(prediction.expression.shape)}, expected {tuple(clip.expression.shape)}"
        raise DataError(f"the predicted expression has shape {shapes}")
    for what, value in (("expression", prediction.expression), ("pose", prediction.pose)):
        if value is not None and not torch.isfinite(value).all():
            raise DataError(f"the predicted {what} contains NaN or infinity")
