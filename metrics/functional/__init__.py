"""The maths of the metrics: pure functions of tensors that return one float64 score per clip."""

from expnet.metrics.functional.beats import audio_beats, beat_alignment, motion_beats
from expnet.metrics.functional.bilabial_closure import LipClosure, lip_closure
from expnet.metrics.functional.blink import blink_duration, blink_interval, blink_rate, blinks, eye_aspect_ratio
from expnet.metrics.functional.cepstra import mel_cepstra
from expnet.metrics.functional.coefficients import within_clip_r2
from expnet.metrics.functional.face_alignment import align_faces
from expnet.metrics.functional.face_crop import face_boxes
from expnet.metrics.functional.frechet import Moments, frechet_distance, standardised_frechet_distance
from expnet.metrics.functional.image import check_image_size, image_scores, ms_ssim, psnr, ssim
from expnet.metrics.functional.landmarks import interocular_distance, landmark_distance
from expnet.metrics.functional.mesh import lip_vertex_error, upper_face_dynamics_deviation
from expnet.metrics.functional.motion import (
    acceleration_energy,
    angular_speed,
    jitter_ratio,
    pose_diversity,
    pose_ratio,
    pose_sample_diversity,
)
from expnet.metrics.functional.motion_amount import (
    band_energy,
    band_energy_ratio,
    motion_amount_ratio,
    motion_deviation,
    motion_speed,
)
from expnet.metrics.functional.motion_windows import motion_windows, region_measures
from expnet.metrics.functional.mouth import (
    best_lag,
    lagged_pearson,
    mouth_opening,
    pearson,
    silent_frames,
    silent_lip_motion,
)
from expnet.metrics.functional.neighbours import NeighbourScores, neighbour_scores
from expnet.metrics.functional.resize import inception_input
from expnet.metrics.functional.samples import sample_diversity_ratio, sampled_mouth_correlation
from expnet.metrics.functional.sharpness import cpbd
from expnet.metrics.functional.statistics import Interval, bootstrap_difference, bootstrap_interval, bootstrap_peak
from expnet.metrics.functional.sync import SyncResult, UnscorableClipError, shifted_distances

__all__ = [
    "Interval",
    "LipClosure",
    "Moments",
    "NeighbourScores",
    "SyncResult",
    "UnscorableClipError",
    "acceleration_energy",
    "align_faces",
    "angular_speed",
    "audio_beats",
    "band_energy",
    "band_energy_ratio",
    "beat_alignment",
    "best_lag",
    "blink_duration",
    "blink_interval",
    "blink_rate",
    "blinks",
    "bootstrap_difference",
    "bootstrap_interval",
    "bootstrap_peak",
    "check_image_size",
    "cpbd",
    "eye_aspect_ratio",
    "face_boxes",
    "frechet_distance",
    "image_scores",
    "inception_input",
    "interocular_distance",
    "jitter_ratio",
    "lagged_pearson",
    "landmark_distance",
    "lip_closure",
    "lip_vertex_error",
    "mel_cepstra",
    "motion_amount_ratio",
    "motion_beats",
    "motion_deviation",
    "motion_speed",
    "motion_windows",
    "mouth_opening",
    "ms_ssim",
    "neighbour_scores",
    "pearson",
    "pose_diversity",
    "pose_ratio",
    "pose_sample_diversity",
    "psnr",
    "region_measures",
    "sample_diversity_ratio",
    "sampled_mouth_correlation",
    "shifted_distances",
    "silent_frames",
    "silent_lip_motion",
    "ssim",
    "standardised_frechet_distance",
    "upper_face_dynamics_deviation",
    "within_clip_r2",
]
