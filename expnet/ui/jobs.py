"""Makes the videos of the page: one at a time, in a thread, with progress, and removes all files afterwards."""

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
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
from expnet.io.machine_faults import is_machine_fault, machine_error
from expnet.media.video_reader import write_video
from expnet.ui.form import RENDERER, read_form
from expnet.ui.renderers import OfferedRenderer
from expnet.ui.uploads import Limits, Upload, check_length

logger = logging.getLogger(__name__)

State = Literal["working", "done", "failed", "cancelled"]

VIDEO, COEFFICIENTS = "video.mp4", "coefficients.npz"


class _CancelledError(Exception):
    """The user pressed cancel, or left the page."""


@dataclass
class Job:
    """One video that is being made or is finished.

    Attributes:
        folder: Folder of its files.
        identifier: Unguessable name: whoever knows it can see the video.
        state: Whether it is being made, is finished, has failed or was cancelled.
        stage: Current step, in words for the page.
        drawn: Number of frames rendered so far.
        frames: Number of frames of the video, 0 while unknown.
        error: Reason of a failure, one sentence.
        curves: Curves from :func:`motion_curves`, once the motion is known.
        cancelled: Set to stop the job.
        touched: Time of the last request for it, on the monotonic clock.
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
        """Enter another stage, unless the user has cancelled the job."""
        if self.cancelled.is_set():
            raise _CancelledError
        self.stage = stage

    def counted(self, frames: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames, and count them."""
        for frame in frames:
            self.enter("rendering")
            yield frame
            self.drawn += 1

    def status(self) -> dict[str, Any]:
        """Return the status for the page."""
        reported = ("state", "stage", "drawn", "frames", "error")
        curves = self.curves if self.state == "done" else None  # the page asks four times a second; once is enough
        return {"id": self.identifier, "curves": curves, **{name: getattr(self, name) for name in reported}}


class JobRunner:
    """Makes one video at a time, and removes it when it is no longer needed.

    Args:
        animator: Animator with the networks.
        folder: Parent of the jobs' folders; the caller removes it.
        limits: Limits of speech and clips.
        keep_seconds: A finished video is removed when nobody has requested it for this long.
        renderers: Renderers to choose from; the first one is the animator's own.
    """

    def __init__(
        self,
        animator: Animator,
        folder: Path,
        limits: Limits,
        *,
        keep_seconds: float = 3600.0,
        renderers: Sequence[OfferedRenderer] = (),
    ) -> None:
        self.animator = animator
        self.limits = limits
        self.renderers = tuple(renderers)
        # Networks of a renderer take a gigabyte, so only those of the last one that was chosen are kept.
        self._chosen: tuple[str, Animator] | None = None
        self._folder = folder
        self._keep_seconds = keep_seconds
        self._jobs: dict[str, Job] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="expnet-ui")

    @property
    def busy(self) -> bool:
        """Whether a video is being made that was not cancelled."""
        return any(job.state == "working" and not job.cancelled.is_set() for job in self._jobs.values())

    def open(self) -> Job:
        """Create a job with a folder for its uploads.

        Raises:
            InputError: Another job is running.
        """
        self.sweep()
        if self.busy:
            raise InputError("Another video is being made; wait until it is finished, or cancel it.")
        job = Job(self._folder / secrets.token_hex(8))
        job.folder.mkdir(mode=0o700)
        self._jobs[job.identifier] = job
        return job

    def begin(self, job: Job, upload: Upload) -> None:
        """Start making the video of a job."""
        self._worker.submit(self._run, job, upload)

    def find(self, identifier: str) -> Job | None:
        """Return the job with this identifier, if there is one."""
        job = self._jobs.get(identifier)
        if job is not None:
            job.touched = time.monotonic()
        return job

    def discard(self, job: Job) -> None:
        """Cancel a job that is running, or remove the files of one that is not."""
        job.cancelled.set()
        if job.state != "working":
            self._jobs.pop(job.identifier, None)
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove finished jobs that nobody has requested for a long time."""
        for job in list(self._jobs.values()):
            if job.state != "working" and time.monotonic() - job.touched > self._keep_seconds:
                self.discard(job)

    def close(self) -> None:
        """Cancel all jobs, and wait for the running one to stop."""
        for job in list(self._jobs.values()):
            self.discard(job)
        self._worker.shutdown(wait=True)

    def _run(self, job: Job, upload: Upload) -> None:
        state, error = self._attempt(job, upload)
        for path in upload.files.values():
            path.unlink(missing_ok=True)
        # The state is set last, so that the uploads are gone once a video is reported as finished.
        job.error, job.state = error, state
        if job.cancelled.is_set():
            self.discard(job)

    def _attempt(self, job: Job, upload: Upload) -> tuple[State, str]:
        """Make the video, and return the final state and the reason of a failure."""
        try:
            self._make(job, upload)
        except _CancelledError:
            return "cancelled", ""
        except ExpnetError as error:
            return "failed", _with_original_names(str(error), upload)
        except Exception as error:
            if is_machine_fault(error):
                return "failed", str(machine_error(error))
            # An exception would otherwise vanish in the worker thread, and the page would wait forever.
            logger.exception("a job of the page failed")
            return "failed", f"Something went wrong inside expnet ({error}); the terminal shows where."
        return "done", ""

    def _make(self, job: Job, upload: Upload) -> None:
        chosen = upload.controls.pop(RENDERER, None)
        controls = self._checked_controls(upload)
        if "portrait" not in upload.files:
            raise InputError("There is no portrait; choose an image of one face.")
        animator = self._animator(chosen, job)
        job.enter("reading the portrait")
        portrait = animator.portrait(upload.files["portrait"], controls)
        job.enter("reading the speech")
        samples, frames = self._speech(upload)
        job.enter("computing the motion")
        motion = animator.motion(portrait, samples, frames, controls=controls)
        job.frames, job.curves = (
            motion.coefficients.frames,
            motion_curves(animator.face_model, motion.coefficients),
        )
        write_npz(job.folder / COEFFICIENTS, MotionClip(motion.coefficients, motion.blink, portrait.image.shape[:2]))
        job.enter("rendering")
        frames_rendered = job.counted(animator.render(portrait, motion.coefficients, blink=motion.blink))
        write_video(job.folder / VIDEO, frames_rendered, fps=controls.fps, audio=samples, sample_rate=SAMPLE_RATE)

    def _animator(self, chosen: str | None, job: Job) -> Animator:
        """Return the animator with the renderer that was chosen; the page does not send its usual one."""
        offered = {one.value: one for one in self.renderers}
        if chosen is None or chosen == next(iter(offered), None):
            return self.animator
        if chosen not in offered:
            raise InputError(f"renderer {chosen}: this page offers {', '.join(offered) or 'no choice'}.")
        if self._chosen is None or self._chosen[0] != chosen:
            job.enter("loading the renderer")
            self._chosen = None
            self._chosen = (chosen, self.animator.with_renderer(offered[chosen].renderer, size=offered[chosen].size))
        return self._chosen[1]

    def _checked_controls(self, upload: Upload) -> Controls:
        if "reference_video" in upload.files:
            check_length(upload.files["reference_video"], self.limits.clip_seconds, "the clip")
        return read_form(upload.controls, upload.files)

    def _speech(self, upload: Upload) -> tuple[Samples | None, int | None]:
        """Return the speech (S,), or None and the number of frames of idle motion."""
        if "speech" in upload.files:
            check_length(upload.files["speech"], self.limits.seconds, "the recording")
            return load_speech(upload.files["speech"]), None
        if "text" in upload.texts:
            return self._synthesize(upload.texts["text"], upload.texts.get("language", "en")), None
        if "idle" not in upload.texts:
            raise InputError("There is no speech; choose a recording, record one, or type a text.")
        return None, round(self._idle_seconds(upload.texts["idle"]) * FRAME_RATE)

    def _synthesize(self, text: str, language: str) -> Samples:
        limit = self.limits.characters
        if len(text) > limit:
            raise InputError(f"The text has {len(text)} characters; this page accepts at most {limit}.")
        samples = synthesize_speech(text, language=language).samples
        if len(samples) > self.limits.seconds * SAMPLE_RATE:
            raise InputError(f"The text takes longer than {self.limits.seconds:g} s to speak; shorten it.")
        return load_speech(samples)

    def _idle_seconds(self, text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 1.0 <= seconds <= self.limits.seconds:
            raise InputError(f"A silent video lasts 1 to {self.limits.seconds:g} seconds, not {text or 'nothing'}.")
        return seconds


def motion_curves(model: MorphableModel, coefficients: FaceCoefficients) -> dict[str, Any]:
    """Return the curves that the page shows under the video.

    Args:
        model: Face model.
        coefficients: Coefficients of T frames.

    Returns:
        ``fps``; ``mouth`` (T,), the mouth opening in eye distances; ``pitch``, ``yaw`` and ``roll`` (T,) in degrees
        relative to the portrait. All are rounded lists, to keep the message short.
    """
    assert coefficients.identity is not None  # fitting a portrait always sets it
    identity = torch.from_numpy(np.atleast_2d(coefficients.identity).astype(np.float32))
    points = model.landmarks(identity, torch.from_numpy(coefficients.expression))  # (T, 68, 3)
    turned = np.rad2deg(coefficients.relative_pose()[:, :3])  # (T, 3)
    angles = {name: turned[:, i].round(2).tolist() for i, name in enumerate(("pitch", "yaw", "roll"))}
    return {"fps": coefficients.fps, "mouth": mouth_opening(points).numpy().round(4).tolist(), **angles}


def _with_original_names(message: str, upload: Upload) -> str:
    """Replace the paths of uploads in a message by the names that the user knows."""
    for name, path in upload.files.items():
        message = message.replace(str(path), upload.names[name])
    return message
