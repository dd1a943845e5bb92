"""The face-vid2vid network that renders SadTalker's videos: one image and the motion of its keypoints -> frames.

In reading order: ``generator`` (image, keypoints -> frame), ``dense_motion`` (keypoints -> flow), ``spade`` (the
decoder), ``keypoints`` (image -> keypoints), ``head_motion`` (pose and expression -> moved keypoints), ``mapping``
(3DMM coefficients -> pose and expression), ``pose_estimator`` (image -> pose and expression), ``published`` (the weight
files), ``blocks``, ``grids`` and ``sizes`` (what the networks share).

Source: Wang, Mallya, Liu, "One-Shot Free-View Neural Talking-Head Synthesis for Video Conferencing" (CVPR 2021), in the
form of OpenTalker/SadTalker ``src/facerender/modules``. Parameters keep the published names.
"""
