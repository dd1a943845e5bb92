"""Training: from a configuration to a run folder with a trained network."""
