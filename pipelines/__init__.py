"""Kubeflow pipelines: structure only. Logic is in yolocore, parameters come from its config tree."""

PIPELINES = ("training", "evaluation", "batch_prediction")
