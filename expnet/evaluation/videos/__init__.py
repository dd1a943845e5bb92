"""A benchmark of anybody's videos: folders paired by file name, every metric, one report.

``evaluate_videos`` runs it from top to bottom. ``pairing`` finds the files that belong together, ``reader`` decodes
and tracks one video, ``measures`` and ``network_measures`` compute its metrics, ``scoring_setup`` opens what they need,
``scorer`` scores one clip, ``processes`` divides the clips among processes, ``finished_clips`` stores their scores,
``fid_summary`` computes FID from them, ``examples`` chooses what the page shows, and ``video_warnings`` says which
numbers not to trust.
"""
