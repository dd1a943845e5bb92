"""Exports a trained network: a folder with weights, configuration and model card, and ONNX graphs."""
