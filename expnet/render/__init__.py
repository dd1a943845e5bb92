"""From portrait and coefficients to frames, and video files in and out."""
