"""The rows of ``benchmarks/speed.py``, a file for each thing that has to be fast."""
