"""Evaluation of networks on the clips of a track store."""
