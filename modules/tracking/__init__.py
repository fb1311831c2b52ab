"""Tracking: metrics, facts and files of a run, brought to MLflow behind the training process's back."""
