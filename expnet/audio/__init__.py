"""Sound: reading it, its mel spectrogram, its alignment with video frames, and built-in speech."""
