"""The rules by which scores are computed; together with each metric's own protocol they say which scores compare."""

from __future__ import annotations

import hashlib

from expnet.face.morphable import MorphableModel

# The protocol hash of a result covers every letter below. A reworded rule would make earlier results incomparable, so
# these texts change only together with the computation that they describe.
_SILENCE = "audio 30 dB below the clip's loud level, 3 frames of margin"

STORE_RULES = {
    "landmark distance": "predicted expression under the clip's true identity and head pose, so that it measures the "
    "expression alone, against the landmarks tracked in the real clip; pixels of the clip's own crop at 256",
    "mouth opening and jitter": "landmarks of the face model without head pose, predicted against tracked "
    "coefficients: under the true pose a nodding head alone would open and close a frozen mouth in the picture",
    "silence": _SILENCE,
    "first frame": "every system is given the clip's first frame",
    "pictures": "the portrait's own frame is not scored",
}
"""Rules for networks that are scored on a track store."""

VIDEO_RULES = {
    "frames": "25 a second by time stamps, sound 16 kHz mono; a video is cut to the length of the real one",
    "sound": "the video's own; the real one's where it has none",
    "mouth opening, jitter": "landmarks of the face model fitted to the tracked points, head straight ahead: a nod "
    "alone must not open a mouth",
    "landmark distance": "tracked landmarks of both videos in the crop of the real face at 256 pixels",
    "pictures": "whole frames; a video of another size but the same shape is resized to the real one's for the paired "
    "metrics (bilinear, antialiased), and scored as it is by the others",
    "silence": _SILENCE,
    "real clips": "their paired metrics are left out: compared with themselves they are perfect",
}
"""Rules for videos that are scored against real ones."""


def model_fingerprint(model: MorphableModel) -> str:
    """Name a face model and its content: coefficients that were fitted with another build mean other faces."""
    digest = hashlib.sha256()
    for buffer in (model.mean, model.identity_basis, model.expression_basis):
        digest.update(buffer.detach().cpu().contiguous().numpy().tobytes())
    return f"{model.name}-{digest.hexdigest()[:8]}"
