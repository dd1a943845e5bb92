"""Metrics for talking faces: torchmetrics classes over pure functions; imported as ``expnet.metrics``.

Every class is a `NamedMetric` with the attributes ``name``, ``unit``, ``higher_is_better``, ``ideal``, ``protocol`` and
``explanation``. Nearly all are `ClipMetric` classes, whose states are float64 sums (the same result for any split over
processes) and whose ``score`` returns the values of single clips.

Letters: B clips, T frames, L landmarks, D coordinates, E expression coefficients, V vertices, S audio samples. Frames
without a valid face are excluded by a boolean mask ``valid`` (B, T); None means that all frames are valid.
"""

from expnet.metrics.audio_mouth import AudioMouthCorrelation, AudioMouthLag
from expnet.metrics.base import ClipMetric, NamedMetric
from expnet.metrics.beats import BeatAlignment
from expnet.metrics.bilabial_closure import BilabialClosure
from expnet.metrics.blink import BlinkDuration, BlinkInterval, BlinkRate
from expnet.metrics.closeness import ClosenessScore
from expnet.metrics.coefficients import WithinClipR2
from expnet.metrics.expression_frechet import ExpressionFrechetDistance
from expnet.metrics.extractor import Extractor, as_extractor
from expnet.metrics.frechet import FrechetInceptionDistance
from expnet.metrics.frechet_video import ExtrapolatedVideoDistance, FrechetVideoDistance
from expnet.metrics.functional.frechet import Moments
from expnet.metrics.functional.sync import SyncResult, UnscorableClipError
from expnet.metrics.identity import IdentitySimilarity
from expnet.metrics.identity_distance import IdentityDistance
from expnet.metrics.image import MultiScaleStructuralSimilarity, PeakSignalToNoiseRatio, StructuralSimilarity
from expnet.metrics.landmark_sync import LandmarkSyncConfidence, LandmarkSyncDistance, LandmarkSyncOffset
from expnet.metrics.landmarks import LandmarkDistance
from expnet.metrics.mesh import LipVertexError, UpperFaceDynamicsDeviation
from expnet.metrics.motion import JitterRatio, PoseDiversity, PoseRatio, PoseSampleDiversity
from expnet.metrics.motion_amount import MotionAmountRatio, MotionBandRatio
from expnet.metrics.motion_windows import MotionFrechetDistance, MotionNeighbours
from expnet.metrics.mouth import MouthOpeningCorrelation, MouthOpeningLag, SilentLipMotion
from expnet.metrics.perceptual import LearnedPerceptualDistance, StructureTextureDistance
from expnet.metrics.samples import SampleDiversityRatio, SampledMouthCorrelation
from expnet.metrics.sharpness import BlurDetection
from expnet.metrics.sync import SYNC_PROTOCOLS, SyncConfidence, SyncDistance, SyncOffset, SyncProtocol, measure_sync
from expnet.metrics.theval import ThevalBrowDynamics, ThevalLipDynamics, ThevalLipSync, ThevalSilentLipStability

__all__ = [
    "SYNC_PROTOCOLS",
    "AudioMouthCorrelation",
    "AudioMouthLag",
    "BeatAlignment",
    "BilabialClosure",
    "BlinkDuration",
    "BlinkInterval",
    "BlinkRate",
    "BlurDetection",
    "ClipMetric",
    "ClosenessScore",
    "ExpressionFrechetDistance",
    "Extractor",
    "ExtrapolatedVideoDistance",
    "FrechetInceptionDistance",
    "FrechetVideoDistance",
    "IdentityDistance",
    "IdentitySimilarity",
    "JitterRatio",
    "LandmarkDistance",
    "LandmarkSyncConfidence",
    "LandmarkSyncDistance",
    "LandmarkSyncOffset",
    "LearnedPerceptualDistance",
    "LipVertexError",
    "Moments",
    "MotionAmountRatio",
    "MotionBandRatio",
    "MotionFrechetDistance",
    "MotionNeighbours",
    "MouthOpeningCorrelation",
    "MouthOpeningLag",
    "MultiScaleStructuralSimilarity",
    "NamedMetric",
    "PeakSignalToNoiseRatio",
    "PoseDiversity",
    "PoseRatio",
    "PoseSampleDiversity",
    "SampleDiversityRatio",
    "SampledMouthCorrelation",
    "SilentLipMotion",
    "StructuralSimilarity",
    "StructureTextureDistance",
    "SyncConfidence",
    "SyncDistance",
    "SyncOffset",
    "SyncProtocol",
    "SyncResult",
    "ThevalBrowDynamics",
    "ThevalLipDynamics",
    "ThevalLipSync",
    "ThevalSilentLipStability",
    "UnscorableClipError",
    "UpperFaceDynamicsDeviation",
    "WithinClipR2",
    "as_extractor",
    "measure_sync",
]
