"""Tracks, stores, corpora, preprocessing and the DataModule."""
