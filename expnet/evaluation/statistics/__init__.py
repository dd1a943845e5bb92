"""Means over clips, bootstrap intervals over people, paired differences and their significance."""
