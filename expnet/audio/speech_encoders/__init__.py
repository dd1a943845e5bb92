"""Pretrained speech encoders: published networks that turn audio into one feature vector per video frame."""

from expnet.audio.speech_encoders.encoder import ENCODERS, FeatureSource, SpeechEncoder, load_speech_encoder
from expnet.audio.speech_encoders.sliding_features import SlidingFeatures

__all__ = ["ENCODERS", "FeatureSource", "SlidingFeatures", "SpeechEncoder", "load_speech_encoder"]
