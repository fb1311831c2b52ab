"""Hydra finds its plugins in the namespace package hydra_plugins: these two hand over to modules.sweeps."""
