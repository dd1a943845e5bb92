"""The built-in corpus: synthetic speech, faces and head motion with exactly known phonemes."""
