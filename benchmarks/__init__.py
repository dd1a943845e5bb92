"""Scripts that print the numbers in docs/results; each runs as ``python benchmarks/NAME.py``, see its ``--help``."""
