"""What a user may decide about a video, beyond the portrait and the sound.

``controls`` is the list of it all. The rest are plain functions: on coefficients ``scales``, ``emotion``, ``idle`` and
``reference``; on the portrait, before it is rendered, ``framing``, ``gaze`` and ``background``.
"""
