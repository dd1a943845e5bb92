"""Metrics for talking faces: torchmetrics classes over pure functions; imported as ``expnet.metrics``."""
