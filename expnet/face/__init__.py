"""Faces: the linear face model, landmarks, camera, tracking and fitting."""
