"""Coefficients to pictures, and pictures to video files.

The mesh renderer in order of reading: ``mesh`` (one frame, top down), ``motion`` (where points go), ``lips`` and
``lids`` (what a linear model cannot promise), ``warp_mesh`` (the sheet of triangles), ``matte`` (person and
background), ``mouth`` and ``tint`` (what shows between the lips), ``rasterize`` (the inner loops). ``portrait`` and
``video`` read and write files, ``blink`` draws natural blinks.
"""
