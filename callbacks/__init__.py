"""Lightning callbacks over the metrics; imported as ``expnet.callbacks``."""
