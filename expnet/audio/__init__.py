"""Audio: reading files, mel spectrograms, alignment with video frames, augmentation, speech encoders and synthesis."""
