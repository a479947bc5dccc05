"""Data: one frame, generated shots, training samples."""
