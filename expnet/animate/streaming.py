"""Motion for live speech: chunks of samples in, frames of coefficients out.

Frame i is determined once the first `samples_needed` samples have arrived, 203 to 213 ms after its start: the taps and
convolutions of the audio encoder and the window of the spectrum look that far ahead. The size of every array depends
only on the frame's number, so the result does not depend on how the audio was cut into chunks.

The head follows the audio of `head_delay` frames ago: it is drawn 32 frames at once, whose audio has not arrived yet.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.apply_controls import Motion, apply_controls, blinks_for
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.motion_scale import RunningAverage, close_lips, scale_expression
from expnet.audio.alignment import MEL_CONTEXT, SAMPLES_PER_FRAME
from expnet.audio.mel import HOP, MEL_BANDS, SILENCE, WINDOW, mel_of_emphasised, pre_emphasis
from expnet.audio.trailing_samples import checked_chunk
from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.morphable import MorphableModel
from expnet.media.video_reader import FRAME_RATE
from expnet.models.audio_encoder import RunningLevel, frame_centres, receptive_columns
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.pose_motion import POSE, within_reach

_LEAD = MEL_CONTEXT * HOP + WINDOW // 2  # silence before the first sample: column c starts 200 c samples into it
_MINUTE = 1500
# Controls that need the whole clip, or another clip, and the only value that they can have in a stream.
_ONLY_VALUES = {"lip_scale": 1.0, "reference_video": None, "emotion": "neutral", "fps": FRAME_RATE}


def samples_needed(frame: int) -> int:
    """Return how many samples of the audio determine a frame; after its end the audio counts as silence."""
    return (receptive_columns(frame)[1] - 1) * HOP + WINDOW - _LEAD


def head_delay(window: int) -> int:
    """Return the frames by which the head lags: a window without its first frame, in steps of 5 frames (16 columns)."""
    return -(-(window - 1) // 5) * 5


class Columns:
    """The latest mel columns of a stream, by their number. Columns before the first are silence."""

    def __init__(self) -> None:
        self._kept = torch.empty(1, MEL_BANDS, 0)
        self.end = 0

    def append(self, columns: Tensor) -> None:
        """Add columns (1, 80, N)."""
        self._kept = torch.cat([self._kept, columns], dim=-1)
        self.end += columns.shape[-1]

    def between(self, begin: int, end: int) -> Tensor:
        """Return columns ``begin ... end - 1``: (1, 80, end - begin)."""
        first = self.end - self._kept.shape[-1]
        kept = self._kept[..., max(begin - first, 0) : end - first]
        return torch.nn.functional.pad(kept, (max(-begin, 0), 0), value=SILENCE)

    def forget(self, before: int) -> None:
        """Drop the columns before this number."""
        self._kept = self._kept[..., max(before - self.end + self._kept.shape[-1], 0) :]


class MelStream:
    """Log-mel of audio that arrives in chunks, on the columns of `expnet.audio.alignment.mel_for_frames`."""

    def __init__(self) -> None:
        self._emphasised = torch.zeros(_LEAD)
        self._last = torch.zeros(())
        self._next = 0

    def push(self, samples: NDArray[np.float32]) -> None:
        """Add samples (S,)."""
        if len(samples):
            chunk = torch.from_numpy(np.array(samples))
            self._emphasised = torch.cat([self._emphasised, pre_emphasis(chunk, self._last)])
            self._last = chunk[-1]

    def pull(self, end: int) -> Tensor:
        """Return the columns (1, 80, N) up to number ``end``; after its end the audio counts as silence."""
        length = (end - 1 - self._next) * HOP + WINDOW
        missing = max(length - len(self._emphasised), 0)
        columns = mel_of_emphasised(torch.nn.functional.pad(self._emphasised[:length], (0, missing)))
        self._emphasised = self._emphasised[(end - self._next) * HOP :]
        self._next = end
        return columns[None]


class StreamedHead:
    """Head poses drawn window by window for delayed audio; equals `PoseCVAE.sample` of the delayed audio.

    Args:
        model: Head-pose network.
        first_pose: Pose (1, 6) of the portrait.
        style: Head-motion style, as in `PoseCVAE.sample`.
        seed: The same seed gives the same motion.
    """

    def __init__(self, model: PoseCVAE, first_pose: Tensor, style: Tensor, *, seed: int) -> None:
        self._model, self._first_pose, self._style = model, first_pose, style
        self._generator = torch.Generator().manual_seed(seed)
        self._past = torch.zeros(1, model.previous, POSE)
        self._seen = torch.zeros(1, model.previous, dtype=torch.bool)
        self._seen[:, -1] = True
        self._drawn = torch.zeros(1, 1, POSE)  # the current window; frame 0 is the portrait's own pose
        self._left = 1
        self.delay = head_delay(model.window)

    def next(self, frame: int, mel: Columns) -> NDArray[np.float32]:
        """Return the pose (1, 6) of the next frame, relative to the portrait's."""
        if not self._left:
            self._draw(frame - self.delay, mel)
        pose = self._drawn[:, self._drawn.shape[1] - self._left]
        self._left -= 1
        return pose.numpy()

    def _draw(self, audio_frame: int, mel: Columns) -> None:
        """Draw the window whose first frame follows the audio of frame ``audio_frame``."""
        model = self._model
        begin, end = receptive_columns(audio_frame)[0], receptive_columns(audio_frame + model.window - 1)[1]
        centres = frame_centres(torch.arange(audio_frame, audio_frame + model.window)) - 5 * begin
        audio = model.audio_encoder.at(mel.between(begin, end), centres)  # (1, W, A)
        z = model.prior(torch.randn(1, model.latent, generator=self._generator))
        window = model.next_window(z, audio, self._past, self._seen, self._first_pose, self._style)
        self._past = torch.cat([self._past, window], dim=1)[:, -model.previous :]
        self._seen = torch.ones_like(self._seen)
        self._drawn = within_reach(window * model.pose_std, self._first_pose, model.pose_std)
        self._left = model.window


class DrawnBlinks:
    """Blinks of a stream that are drawn on their own, as in a recording.

    Args:
        controls: Their seed and their rate.
    """

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._track = blinks_for(_MINUTE, controls, None)

    def __call__(self, first: int, frames: int) -> NDArray[np.float32]:
        """Return the closure (T,) of the eyelids in some frames."""
        while first + frames > len(self._track):
            # A longer track begins like a shorter one, so blinks that were used stay as they are.
            self._track = blinks_for(2 * len(self._track), self._controls, None)
        return self._track[first : first + frames]


class StreamedMotion:
    """Motion of a portrait while the audio is still arriving.

    Args:
        expression: Expression network that was trained with ``model.streaming=true``.
        head: Head motion of this portrait.
        face_model: Face model of the coefficients.
        fit: Coefficients of the portrait, one frame.
        controls: Controls of the motion; see `check_controls`.
    """

    def __init__(
        self,
        expression: ExpressionRegressor,
        head: StreamedHead,
        face_model: MorphableModel,
        fit: FaceCoefficients,
        controls: Controls,
    ) -> None:
        self._expression, self._head, self._face_model = expression, head, face_model
        self._fit, self._controls = fit, controls
        self._first = torch.from_numpy(close_lips(face_model, fit))
        self._caches = expression.caches()
        self._level, self._average = RunningLevel(), RunningAverage()
        self._stream, self._mel, self._levelled = MelStream(), Columns(), Columns()
        self._blinks = DrawnBlinks(controls)
        self._received = self._frame = 0

    @property
    def latency(self) -> float:
        """Milliseconds from the start of a frame to the arrival of the audio that determines it, at most."""
        return max(samples_needed(frame) - frame * SAMPLES_PER_FRAME for frame in range(5)) / 16

    def push(self, samples: NDArray[np.float32]) -> Iterator[Motion]:
        """Add samples (S,) at 16 kHz and yield the frames that they determine.

        Raises:
            InputError: The samples are not finite, or not mono.
        """
        samples = checked_chunk(samples)
        self._stream.push(samples)
        self._received += len(samples)
        while samples_needed(self._frame) <= self._received:
            yield self._advance()

    def finish(self) -> Iterator[Motion]:
        """Yield the remaining frames when the audio has ended."""
        while self._frame * SAMPLES_PER_FRAME < self._received:
            yield self._advance()

    @torch.inference_mode()
    def _advance(self) -> Motion:
        frame = self._frame
        begin, end = receptive_columns(frame)
        columns = self._stream.pull(end)
        self._mel.append(columns)
        self._levelled.append(self._level(columns) if self._expression.level else columns)
        levelled = self._levelled.between(begin, end)
        predicted = self._expression.next_frame(levelled, frame, self._first, self._caches)[0].numpy()  # (1, 64)
        relative_pose = self._head.next(frame, self._mel)
        self._levelled.forget(begin)
        self._mel.forget(receptive_columns(frame - self._head.delay)[0])
        rest = self._first[0].numpy()
        scale = self._controls.scale_of("regressed")
        scaled = scale_expression(predicted, rest, scale, self._average(predicted - rest))
        blink = self._blinks(frame, 1)
        self._frame += 1
        return apply_controls(self._face_model, self._fit, scaled, relative_pose, blink, self._controls, first=frame)


def check_controls(controls: Controls) -> None:
    """Refuse controls that are not available for live speech.

    Raises:
        InputError: A control needs the whole clip.
    """
    for name, only in _ONLY_VALUES.items():
        value = getattr(controls, name)
        if value != only:
            raise InputError(f"{name} {value}: not available for live speech; leave it out, or use animate.")
