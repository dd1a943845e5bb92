"""Names that options accept, kept apart from the libraries that implement them, so that ``--help`` imports nothing.

tests/cli/test_cli.py compares each tuple with its library.
"""

SPEECH_ENCODERS = ("whisper", "hubert", "wavlm", "wav2vec2")
"""`expnet.audio.speech_encoders.ENCODERS`."""
ENCODER_ASSETS = ("whisper-tiny.en", "whisper-base")
"""`expnet.assets.encoders.ENCODERS`."""
EXPORT_FORMATS = ("npz", "arkit", "gltf", "bvh", "json", "sadtalker", "sadtalker-first", "pirender")
"""`expnet.formats.convert.FORMATS`."""
RENDERERS = ("mesh", "sadtalker")
"""`expnet.render.open_renderer.RENDERERS`."""
FACE_MODEL = "mediapipe468"
"""`expnet.coefficients.DEFAULT_FACE_MODEL`."""
EMOTIONS = ("neutral", "happy", "angry", "sad", "surprised", "fear", "disgusted", "contempt")
"""`expnet.face.emotions.EMOTIONS`."""
