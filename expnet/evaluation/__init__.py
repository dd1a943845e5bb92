"""Evaluation of networks on a track store and of anybody's videos: scores, statistics and reports."""
