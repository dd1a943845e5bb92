"""SadTalker's published renderer: portrait and coefficients -> frames.

In reading order: ``renderer`` (frames of one portrait), ``face_crop`` (what the networks see of it, and how that is put
back), ``basel_motion`` (coefficients of the built-in face model -> Basel coefficients of the portrait),
``coefficient_windows`` (what the mapping network sees of a motion).
"""
