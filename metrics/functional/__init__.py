"""The maths of the metrics, without state."""
