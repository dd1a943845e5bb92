"""Sweeps: one network trained many times with different options, and the runs compared by one score."""
