"""From a portrait and coefficients to frames.

The mesh renderer, in reading order: ``mesh_renderer`` (one frame, top down), ``portrait_motion`` (where points go),
``lips`` and ``lids`` (corrections that a linear model cannot make), ``warp_mesh`` (the triangle mesh), ``person_matte``
and ``background_fill`` (person and background), ``mouth`` and ``mouth_colours`` (the mouth interior), ``rasterize``
(the inner loops). ``portrait`` opens images, ``lip_calibration`` measures how wide open its rendered mouths are seen to
be, ``reenactment`` drives clips by their own motion, and ``refiner`` holds the optional network that improves mouth and
eyes, with its training data.
"""
