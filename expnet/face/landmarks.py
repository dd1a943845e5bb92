"""Indices of face points: the 68 iBUG landmarks, their points on the MediaPipe mesh, and closed loops of that mesh.

"left" and "right" are those of the subject, whose right eye is on the left of the image.
"""

MEDIAPIPE_POINTS = 478
"""Number of points of a refined MediaPipe face mesh: 468 on the skin and 10 on the irises."""

MESH_POINTS = 468
"""Number of points of the skin mesh, which the built-in face model covers."""

# The MediaPipe point of each iBUG landmark, as used by Real3DPortrait (data_util/face3d_helper.py, its 478-to-68 list).
LANDMARKS_68_FROM_MEDIAPIPE: tuple[int, ...] = (
    *(127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
    *(78, 81, 13, 311, 308, 402, 14, 178),
)

# Groups of the 68 landmarks, in iBUG's numbering.
JAW = tuple(range(17))
RIGHT_BROW = tuple(range(17, 22))
LEFT_BROW = tuple(range(22, 27))
BROWS = RIGHT_BROW + LEFT_BROW
NOSE = tuple(range(27, 36))
RIGHT_EYE = tuple(range(36, 42))
LEFT_EYE = tuple(range(42, 48))
EYES = RIGHT_EYE + LEFT_EYE
OUTER_LIPS = tuple(range(48, 60))
INNER_LIPS = tuple(range(60, 68))
MOUTH = OUTER_LIPS + INNER_LIPS

# Closed loops of MediaPipe points, in order around the face as MediaPipe's own edge sets connect them.
OUTER_LIP_LOOP: tuple[int, ...] = (
    *(0, 37, 39, 40, 185, 61, 146, 91, 181, 84),
    *(17, 314, 405, 321, 375, 291, 409, 270, 269, 267),
)
INNER_LIP_LOOP: tuple[int, ...] = (
    *(13, 82, 81, 80, 191, 78, 95, 88, 178, 87),
    *(14, 317, 402, 318, 324, 308, 415, 310, 311, 312),
)
RIGHT_EYE_LOOP: tuple[int, ...] = (
    *(33, 246, 161, 160, 159, 158, 157, 173),
    *(133, 155, 154, 153, 145, 144, 163, 7),
)
LEFT_EYE_LOOP: tuple[int, ...] = (
    *(263, 466, 388, 387, 386, 385, 384, 398),
    *(362, 382, 381, 380, 374, 373, 390, 249),
)
FACE_OVAL: tuple[int, ...] = (
    *(10, 109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148),
    *(152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356, 389, 251, 284, 332, 297, 338),
)
RIGHT_IRIS: tuple[int, ...] = (468, 469, 470, 471, 472)
"""Centre of the subject's right iris, then four points on its rim."""
LEFT_IRIS: tuple[int, ...] = (473, 474, 475, 476, 477)

# The lips of the benchmarks: both lip loops and the mesh points between them.
LIP_POINTS: tuple[int, ...] = (
    *OUTER_LIP_LOOP,
    *INNER_LIP_LOOP,
    *(11, 12, 15, 16, 38, 41, 42, 62, 72, 73, 74, 76, 77, 85, 86, 89, 90, 96, 179, 180, 183, 184),
    *(268, 271, 272, 292, 302, 303, 304, 306, 307, 315, 316, 319, 320, 325, 403, 404, 407, 408),
)
EYE_POINTS: tuple[int, ...] = RIGHT_EYE_LOOP + LEFT_EYE_LOOP
