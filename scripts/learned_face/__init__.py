"""Learning the built-in face model; ``scripts/build_face_model.py`` runs it."""
