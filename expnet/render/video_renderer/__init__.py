"""The renderer that is trained on tracked videos: its training data, and portraits rendered with it.

In reading order: ``motion_rows`` (coefficients as the network reads them), ``clip_frames`` (a clip prepared once),
``batch`` and ``datamodule`` (pairs of frames for training), ``renderer`` (portrait and coefficients -> frames).
"""
