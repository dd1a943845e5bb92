"""How the built-in face model is learned, see ``scripts/build_face_model.py``."""
