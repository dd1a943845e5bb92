"""LightningModules: how the networks train."""
