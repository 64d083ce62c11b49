"""Kubeflow pipelines: structure only. Logic is in yolocore, parameters come from its config tree."""
