"""How the page's videos are made: one at a time, in a thread, with progress, and all traces removed afterwards."""

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.animate.animator import Animator
from expnet.animate.controls.controls import Controls
from expnet.animate.inputs import load_speech
from expnet.audio.alignment import FRAME_RATE
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.audio.stored_samples import Samples
from expnet.coefficients import FaceCoefficients
from expnet.errors import ExpnetError, InputError
from expnet.face.measures import mouth_opening
from expnet.face.morphable import MorphableModel
from expnet.formats.motion_clip import MotionClip, write_npz
from expnet.media.video_reader import write_video
from expnet.ui.form import read_form
from expnet.ui.uploads import Limits, Upload, check_length

logger = logging.getLogger(__name__)

State = Literal["working", "done", "failed", "cancelled"]

VIDEO, COEFFICIENTS = "video.mp4", "coefficients.npz"


class _CancelledError(Exception):
    """The user pressed cancel, or left."""


@dataclass
class Job:
    """One video in the making, and then made.

    Attributes:
        identifier: hard to guess: it is all that is needed to see the video.
        folder: of its files.
        state: how it stands.
        stage: what is being done, in words.
        drawn: frames drawn.
        frames: of the video, 0 while not known.
        error: one sentence, when it failed.
        curves: of :func:`motion_curves`, when the motion is known.
        cancelled: set to make it stop.
        touched: when it was last asked for, in seconds of a clock.
    """

    folder: Path
    identifier: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "working"
    stage: str = "reading the portrait"
    drawn: int = 0
    frames: int = 0
    error: str = ""
    curves: dict[str, Any] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    touched: float = field(default_factory=time.monotonic)

    def enter(self, stage: str) -> None:
        """Go on to another stage, unless the user has had enough."""
        if self.cancelled.is_set():
            raise _CancelledError
        self.stage = stage

    def counted(self, frames: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """The frames, counted as they are drawn."""
        for frame in frames:
            self.enter("drawing")
            yield frame
            self.drawn += 1

    def status(self) -> dict[str, Any]:
        """What the page is told."""
        told = ("state", "stage", "drawn", "frames", "error")
        curves = self.curves if self.state == "done" else None  # asked four times a second: once is enough
        return {"id": self.identifier, "curves": curves, **{name: getattr(self, name) for name in told}}


class Workshop:
    """Makes one video at a time and forgets it.

    Args:
        animator: whose networks are used.
        folder: where jobs have theirs; the caller removes it in the end.
        limits: how long speech and clips may be.
        keep_seconds: a finished video that nobody asks for is removed after so long.
    """

    def __init__(self, animator: Animator, folder: Path, limits: Limits, *, keep_seconds: float = 3600.0) -> None:
        self.animator = animator
        self.limits = limits
        self._folder = folder
        self._keep_seconds = keep_seconds
        self._jobs: dict[str, Job] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="expnet-ui")

    @property
    def busy(self) -> bool:
        """Whether a video is being made that somebody still wants."""
        return any(job.state == "working" and not job.cancelled.is_set() for job in self._jobs.values())

    def open(self) -> Job:
        """Begin a job; its folder is there for what is uploaded.

        Raises:
            InputError: one is at work already.
        """
        self.sweep()
        if self.busy:
            raise InputError("Another video is being made; wait until it is done, or cancel it.")
        job = Job(self._folder / secrets.token_hex(8))
        job.folder.mkdir(mode=0o700)
        self._jobs[job.identifier] = job
        return job

    def begin(self, job: Job, upload: Upload) -> None:
        """Make the video of a job."""
        self._worker.submit(self._run, job, upload)

    def find(self, identifier: str) -> Job | None:
        """A job by its identifier."""
        job = self._jobs.get(identifier)
        if job is not None:
            job.touched = time.monotonic()
        return job

    def discard(self, job: Job) -> None:
        """Stop a job where it is at work, and remove its files."""
        job.cancelled.set()
        if job.state != "working":
            self._jobs.pop(job.identifier, None)
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what nobody has asked for in a long time."""
        for job in list(self._jobs.values()):
            if job.state != "working" and time.monotonic() - job.touched > self._keep_seconds:
                self.discard(job)

    def close(self) -> None:
        """Stop what is at work, and wait for it."""
        for job in list(self._jobs.values()):
            self.discard(job)
        self._worker.shutdown(wait=True)

    def _run(self, job: Job, upload: Upload) -> None:
        state, error = self._attempt(job, upload)
        for path in upload.files.values():
            path.unlink(missing_ok=True)
        # Last, so that who sees a video done sees no upload any more.
        job.error, job.state = error, state
        if job.cancelled.is_set():
            self.discard(job)

    def _attempt(self, job: Job, upload: Upload) -> tuple[State, str]:
        """Make the video, or say why not."""
        try:
            self._make(job, upload)
        except _CancelledError:
            return "cancelled", ""
        except ExpnetError as error:
            return "failed", _in_their_words(str(error), upload)
        except Exception as error:
            # The thread ends here: without this the page would wait for ever and nobody would see what happened.
            logger.exception("a job of the page failed")
            return "failed", f"Something went wrong inside expnet ({error}); the terminal says where."
        return "done", ""

    def _make(self, job: Job, upload: Upload) -> None:
        controls = self._checked_controls(upload)
        if "portrait" not in upload.files:
            raise InputError("There is no portrait; choose a picture of one face.")
        portrait = self.animator.portrait(upload.files["portrait"], controls)
        job.enter("listening")
        samples, frames = self._sound(upload)
        job.enter("finding the motion")
        motion = self.animator.motion(portrait, samples, frames, controls=controls)
        job.frames, job.curves = (
            motion.coefficients.frames,
            motion_curves(self.animator.face_model, motion.coefficients),
        )
        write_npz(job.folder / COEFFICIENTS, MotionClip(motion.coefficients, motion.blink, portrait.image.shape[:2]))
        job.enter("drawing")
        drawn = job.counted(self.animator.render(portrait, motion.coefficients, blink=motion.blink))
        write_video(job.folder / VIDEO, drawn, fps=controls.fps, audio=samples, sample_rate=SAMPLE_RATE)

    def _checked_controls(self, upload: Upload) -> Controls:
        if "reference_video" in upload.files:
            check_length(upload.files["reference_video"], self.limits.clip_seconds, "the clip")
        return read_form(upload.controls, upload.files)

    def _sound(self, upload: Upload) -> tuple[Samples | None, int | None]:
        """The speech (S,), or None and a number of frames to wait for."""
        if "speech" in upload.files:
            check_length(upload.files["speech"], self.limits.seconds, "the recording")
            return load_speech(upload.files["speech"]), None
        if "text" in upload.texts:
            return self._spoken(upload.texts["text"], upload.texts.get("language", "en")), None
        if "idle" not in upload.texts:
            raise InputError("There is no speech; choose a recording, record one, or type what to say.")
        return None, round(self._idle_seconds(upload.texts["idle"]) * FRAME_RATE)

    def _spoken(self, text: str, language: str) -> Samples:
        most = self.limits.characters
        if len(text) > most:
            raise InputError(f"The text has {len(text)} characters; {most} is the most that this page says at once.")
        samples = synthesize_speech(text, language=language).samples
        if len(samples) > self.limits.seconds * SAMPLE_RATE:
            raise InputError(f"The text takes longer than {self.limits.seconds:g} s to say; shorten it.")
        return load_speech(samples)

    def _idle_seconds(self, text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 1.0 <= seconds <= self.limits.seconds:
            raise InputError(f"A silent video takes 1 to {self.limits.seconds:g} seconds, not {text or 'nothing'}.")
        return seconds


def motion_curves(model: MorphableModel, coefficients: FaceCoefficients) -> dict[str, Any]:
    """The curves under the video.

    Args:
        model: the face model.
        coefficients: T frames.

    Returns:
        ``fps``, ``mouth`` (T,) the opening in eye distances, and ``pitch``, ``yaw``, ``roll`` (T,) in degrees from the
        portrait's own; lists, rounded for the way.
    """
    assert coefficients.identity is not None  # a portrait's is known
    identity = torch.from_numpy(np.atleast_2d(coefficients.identity).astype(np.float32))
    points = model.landmarks(identity, torch.from_numpy(coefficients.expression))  # (T, 68, 3)
    turned = np.rad2deg(coefficients.relative_pose()[:, :3])  # (T, 3)
    angles = {name: turned[:, i].round(2).tolist() for i, name in enumerate(("pitch", "yaw", "roll"))}
    return {"fps": coefficients.fps, "mouth": mouth_opening(points).numpy().round(4).tolist(), **angles}


def _in_their_words(message: str, upload: Upload) -> str:
    """Call each file what its owner calls it: the page's user has never seen our folders."""
    for name, path in upload.files.items():
        message = message.replace(str(path), upload.names[name])
    return message
