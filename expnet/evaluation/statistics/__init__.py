"""Statistics over clips: means, bootstrap intervals over people, paired differences and their significance."""
