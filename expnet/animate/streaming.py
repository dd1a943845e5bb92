"""Motion for sound that arrives as it is spoken: chunks of samples in, frames of coefficients out.

Frame i is determined once the sound up to `samples_needed` of it is there, 203 to 213 ms from its begin on: the taps
and convolutions of the audio encoder, and the window of the spectrum, look that far ahead. Every step works on arrays
whose size the frame's number alone decides, so the result does not depend on how the sound was cut into chunks.

The head hears the sound of `head_delay` frames ago: it is drawn 32 frames at once, whose sound cannot be there yet.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.animate.controls.controls import Controls
from expnet.animate.controls.directed_motion import Motion, blinking, direct
from expnet.animate.controls.motion_scale import RunningAverage, lips_shut, scale_expression
from expnet.audio.alignment import MEL_CONTEXT, SAMPLES_PER_FRAME
from expnet.audio.mel import HOP, MEL_BANDS, SILENCE, WINDOW, mel_of_emphasised, pre_emphasis
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
# Controls that look at the whole clip, or at another one: name -> the only value in a stream.
_FIXED = {"lip_scale": 1.0, "reference_video": None, "emotion": "neutral", "fps": FRAME_RATE}


def samples_needed(frame: int) -> int:
    """Samples from the start of the sound after which a frame is determined; the end of the sound counts as silence."""
    return (receptive_columns(frame)[1] - 1) * HOP + WINDOW - _LEAD


def head_delay(window: int) -> int:
    """Frames that the head lags behind the sound: a window less its first frame, in whole fives (16 mel columns)."""
    return -(-(window - 1) // 5) * 5


class Columns:
    """The latest mel columns of a stream by their number; those before the first are silence."""

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
        """Drop columns of a lower number."""
        self._kept = self._kept[..., max(before - self.end + self._kept.shape[-1], 0) :]


class MelStream:
    """Log-mel of sound that arrives in chunks, on the columns of `expnet.audio.alignment.mel_for_frames`."""

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
        """Return the columns (1, 80, N) up to number ``end``; past the end of the sound is silence."""
        length = (end - 1 - self._next) * HOP + WINDOW
        missing = max(length - len(self._emphasised), 0)
        columns = mel_of_emphasised(torch.nn.functional.pad(self._emphasised[:length], (0, missing)))
        self._emphasised = self._emphasised[(end - self._next) * HOP :]
        self._next = end
        return columns[None]


class StreamedHead:
    """Head poses drawn window by window, each for the sound of a while ago; `PoseCVAE.sample` of delayed sound.

    Args:
        model: the head-pose network.
        first_pose: (1, 6) of the portrait.
        style: as in `PoseCVAE.sample`.
        seed: same seed, same motion.
    """

    def __init__(self, model: PoseCVAE, first_pose: Tensor, style: Tensor, *, seed: int) -> None:
        self._model, self._first_pose, self._style = model, first_pose, style
        self._generator = torch.Generator().manual_seed(seed)
        self._past = torch.zeros(1, model.previous, POSE)
        self._seen = torch.zeros(1, model.previous, dtype=torch.bool)
        self._seen[:, -1] = True
        self._drawn = torch.zeros(1, 1, POSE)  # the window under way; frame 0 is the portrait's own pose
        self._left = 1
        self.delay = head_delay(model.window)

    def next(self, frame: int, mel: Columns) -> NDArray[np.float32]:
        """Return the pose (1, 6) of the next frame relative to the portrait's."""
        if not self._left:
            self._draw(frame - self.delay, mel)
        pose = self._drawn[:, self._drawn.shape[1] - self._left]
        self._left -= 1
        return pose.numpy()

    def _draw(self, heard: int, mel: Columns) -> None:
        """Draw the window whose first frame hears the sound of frame ``heard``."""
        model = self._model
        begin, end = receptive_columns(heard)[0], receptive_columns(heard + model.window - 1)[1]
        centres = frame_centres(torch.arange(heard, heard + model.window)) - 5 * begin
        audio = model.audio_encoder.at(mel.between(begin, end), centres)  # (1, W, A)
        z = model.prior(torch.randn(1, model.latent, generator=self._generator))
        window = model.next_window(z, audio, self._past, self._seen, self._first_pose, self._style)
        self._past = torch.cat([self._past, window], dim=1)[:, -model.previous :]
        self._seen = torch.ones_like(self._seen)
        self._drawn = within_reach(window * model.pose_std, self._first_pose, model.pose_std)
        self._left = model.window


class StreamedMotion:
    """How a portrait moves while the sound is still arriving.

    Args:
        expression: a network that was trained with ``model.streaming=true``.
        head: of this portrait.
        face_model: of the coefficients.
        fit: the portrait's coefficients, one frame.
        controls: what is wanted; see `check_controls`.
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
        self._first = torch.from_numpy(lips_shut(face_model, fit))
        self._caches = expression.caches()
        self._level, self._average = RunningLevel(), RunningAverage()
        self._stream, self._mel, self._levelled = MelStream(), Columns(), Columns()
        self._blink = blinking(_MINUTE, controls, None)
        self._received = self._frame = 0

    def push(self, samples: NDArray[np.float32]) -> Iterator[Motion]:
        """Take up samples (S,) at 16 kHz and yield the frames that they determine.

        Raises:
            InputError: not finite mono samples.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise InputError(f"a chunk of sound: expected finite mono samples (S,), got shape {samples.shape}.")
        self._stream.push(samples)
        self._received += len(samples)
        while samples_needed(self._frame) <= self._received:
            yield self._advance()

    def finish(self) -> Iterator[Motion]:
        """Yield the frames that are left when the sound has ended."""
        while self._frame * SAMPLES_PER_FRAME < self._received:
            yield self._advance()

    @torch.inference_mode()
    def _advance(self) -> Motion:
        frame = self._frame
        begin, end = receptive_columns(frame)
        columns = self._stream.pull(end)
        self._mel.append(columns)
        self._levelled.append(self._level(columns) if self._expression.level else columns)
        heard = self._levelled.between(begin, end)
        spoken = self._expression.next_frame(heard, frame, self._first, self._caches)[0].numpy()  # (1, 64)
        turned = self._head.next(frame, self._mel)
        self._levelled.forget(begin)
        self._mel.forget(receptive_columns(frame - self._head.delay)[0])
        if frame == len(self._blink):
            # A longer track begins like a shorter one.
            self._blink = blinking(2 * frame, self._controls, None)
        rest = self._first[0].numpy()
        scaled = scale_expression(spoken, rest, self._controls.expression_scale, self._average(spoken - rest))
        blink = self._blink[frame : frame + 1]
        self._frame += 1
        return direct(self._face_model, self._fit, scaled, turned, blink, self._controls, first=frame)


def check_controls(controls: Controls) -> None:
    """Refuse controls that cannot be had while the sound arrives.

    Raises:
        InputError: a control that needs the whole clip.
    """
    for name, only in _FIXED.items():
        value = getattr(controls, name)
        if value != only:
            raise InputError(f"{name} {value}: not available while the sound arrives; leave it out, or use animate.")
