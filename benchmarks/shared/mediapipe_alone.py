"""MediaPipe's face mesh by itself: the speed that tracking is compared with."""

import numpy as np

from expnet.face.mediapipe_backend import import_solutions, quiet_native_stderr


def mediapipe_alone(frames: list[np.ndarray]) -> None:
    """Run FaceMesh on the frames and drop its results."""
    with quiet_native_stderr():
        mesh = import_solutions().face_mesh.FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)
        mesh.process(frames[0])
    for frame in frames[1:]:
        mesh.process(frame)
    mesh.close()
