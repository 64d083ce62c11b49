"""The modes as Kubeflow components, one folder each, written by `python -m pipelines.generate`."""
