"""Controls of a video: seed, scales, styles, blinks, emotion, gaze, reference video, framing and background."""
