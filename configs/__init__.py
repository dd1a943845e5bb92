"""Configuration files (YAML), installed with the package as ``expnet.configs``."""
