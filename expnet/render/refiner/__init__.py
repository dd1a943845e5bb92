"""Training data of the renderer's refiner: pairs of rendered and real pieces of faces."""
