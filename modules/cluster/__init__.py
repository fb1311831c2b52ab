"""Clusters: how the yard reaches machines."""
