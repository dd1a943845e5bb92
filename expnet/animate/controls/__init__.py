"""What a user may decide about a video, beyond the portrait and the speech."""
