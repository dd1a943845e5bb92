"""The LightningModules that train the networks, one for each task."""
