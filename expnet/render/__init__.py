"""From a portrait and coefficients to frames.

The mesh renderer, in reading order: ``mesh_renderer`` (one frame, top down), ``portrait_motion`` (where points go),
``lips`` and ``lids`` (corrections that a linear model cannot make), ``warp_mesh`` (the triangle mesh), ``person_matte``
and ``background_fill`` (person and background), ``mouth`` and ``mouth_colours`` (the mouth interior), ``rasterize``
(the inner loops). ``portrait`` opens images, ``lip_calibration`` measures how wide open its rendered mouths are seen to
be, and ``reenactment`` drives clips by their own motion.

Networks that render: ``refiner`` holds the optional network that improves mouth and eyes, ``video_renderer`` the
renderer that is trained on tracked videos, each with its training data, and ``face_vid2vid`` SadTalker's renderer.
``open_renderer`` chooses a renderer by its name or its files.
"""
