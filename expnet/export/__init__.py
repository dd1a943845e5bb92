"""A trained network as a product: a folder with weights, configuration and model card, and ONNX graphs."""
