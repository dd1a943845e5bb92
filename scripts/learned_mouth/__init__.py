"""Training of the network that paints what shows between the lips."""
