"""Lineage in MLflow: steps as runs, deployed models in the registry."""
