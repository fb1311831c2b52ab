"""Sweeps: points of a search space, trained side by side, each once."""
