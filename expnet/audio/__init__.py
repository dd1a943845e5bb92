"""Sound: loading, log-mel features, audio-to-frame alignment and built-in speech."""
