"""The rows of ``benchmarks/speed.py``, one module for each thing that has to be fast."""
