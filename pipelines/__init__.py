"""Kubeflow pipelines: structure only. Logic is in yolocore, parameters come from its config tree."""

PIPELINES = ("training", "retraining", "search", "evaluation", "batch_prediction")
