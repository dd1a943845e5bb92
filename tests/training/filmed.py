"""A small store of clips with videos: a picture of a face that sways and tilts, and opens its mouth."""

from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.data import astronaut

from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStoreWriter
from expnet.face.camera import DISTANCE, FOCAL, project
from expnet.face.morphable import builtin_face_model
from expnet.media.video_writer import write_video

CENTRE, SIDE = (105.0, 60.0), 118.0
"""The square of the coefficients' camera in the picture of 256 pixels."""


def make_filmed_track(seed: int, frames: int, folder: Path) -> Track:
    """A clip of the astronaut, mirrored for odd seeds, whose frames follow from its coefficients."""
    generator = np.random.default_rng(seed)
    picture = cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    centre = np.array([CENTRE[0] if seed % 2 == 0 else 255 - CENTRE[0], CENTRE[1]])
    picture = picture if seed % 2 == 0 else np.ascontiguousarray(picture[:, ::-1])
    swing = np.sin(np.arange(frames)[:, None] / 25 * generator.uniform(4, 9, size=4) + generator.uniform(0, 6, size=4))
    roll, shift, opening = 0.12 * swing[:, 0], 0.2 * swing[:, 1:3], 0.5 + 0.5 * swing[:, 3]
    unit = SIDE * FOCAL / DISTANCE  # pixels
    zero = np.zeros(frames)
    coefficients = FaceCoefficients(
        expression=np.outer(opening, np.eye(64)[0]),
        rotation=np.stack([zero, zero, roll], axis=1),
        translation=np.c_[shift, zero],
        identity=np.zeros(builtin_face_model().identity_size),
        crop=np.array([*centre, SIDE]),
    )
    images = []
    for number in range(frames):
        image = picture.copy()
        mouth = np.round(centre + np.array([0, 0.42 * unit])).astype(int)
        cv2.ellipse(image, mouth.tolist(), (8, 1 + int(9 * opening[number])), 0, 0, 360, (60, 10, 10), -1)
        matrix = cv2.getRotationMatrix2D(centre.tolist(), float(np.degrees(roll[number])), 1.0)
        matrix[:, 2] += unit * shift[number] * [1, -1]
        images.append(cv2.warpAffine(image, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    video = folder / f"clip{seed}.mp4"
    write_video(video, images)
    model = builtin_face_model()
    landmarks = project(
        model.landmarks(torch.zeros(model.identity_size), torch.zeros(frames, 64)),
        torch.from_numpy(coefficients.rotation),
        torch.from_numpy(coefficients.translation),
        torch.tensor([*centre, SIDE], dtype=torch.float32),
    )
    return Track(
        clip_id=f"clip{seed}",
        speaker=f"speaker{seed}",
        coefficients=coefficients,
        landmarks=landmarks.numpy().astype(np.float32),
        valid=np.ones(frames, bool),
        audio=np.zeros(frames * 640, np.float32),
        source=str(video),
        frame_size=(256, 256),
    )


def write_filmed_store(path: Path, *, clips: int = 2, frames: int = 90) -> Path:
    """Write a store of such clips, each of a different speaker; the videos lie beside it."""
    videos = path.parent / "videos"
    videos.mkdir(parents=True)
    with TrackStoreWriter(path) as writer:
        for seed in range(clips):
            writer.add(make_filmed_track(seed, frames, videos))
        writer.finish()
    return path
