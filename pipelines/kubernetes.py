"""What tasks need from Kubernetes: one small function `task -> task` for each concern."""

from kfp import kubernetes
from kfp.dsl import PipelineTask


def traced(task: PipelineTask) -> PipelineTask:
    """Tell the step which pipeline run it belongs to, so that MLflow nests it there.

    It is told by the environment, because an input that differs in every run would spoil the cache.
    """
    return kubernetes.use_field_path_as_env(task, "YOLO_PIPELINE", "metadata.labels['pipeline/runid']")
