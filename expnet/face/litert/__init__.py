"""MediaPipe's face models run by LiteRT (TensorFlow Lite), with the geometry of MediaPipe's own graph.

Their networks are plain convolutions but for four kinds of operation that only MediaPipe has. Those are done here in
NumPy, between slices of the networks that LiteRT runs.
"""
