"""The renderer's optional refiner: regions of a face, the interface to its network, and its training data."""
