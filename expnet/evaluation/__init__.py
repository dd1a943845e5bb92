"""The parts of an evaluation: which clips, which systems, how each clip is scored, and the pictures."""
