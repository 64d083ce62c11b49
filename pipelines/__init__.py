"""Kubeflow pipelines: structure only. Logic is in yolocore, parameters come from its config tree."""

PIPELINES = ("training", "retraining", "evaluation", "batch_prediction")
