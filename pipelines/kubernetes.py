"""What tasks need from Kubernetes: one small function `task -> task` for each concern."""

from kfp import kubernetes
from kfp.dsl import PipelineTask

HOUR = 3600  # seconds


def traced(task: PipelineTask) -> PipelineTask:
    """Tell the step which pipeline run it belongs to, so that MLflow nests it there.

    It is told by the environment, because an input that differs in every run would spoil the cache.
    """
    return kubernetes.use_field_path_as_env(task, "YOLO_PIPELINE", "metadata.labels['pipeline/runid']")


def light(task: PipelineTask) -> PipelineTask:
    """A step that reads, copies or asks a server: half a core will do, and an hour."""
    return _sized(task, cpu=("500m", "2"), memory=("1Gi", "4Gi"), hours=1)


def heavy(task: PipelineTask) -> PipelineTask:
    """A step in which a network works through many images: it is given what a node has free, up to 8 cores."""
    return _sized(task, cpu=("1", "8"), memory=("2Gi", "16Gi"), hours=6)


def long(task: PipelineTask) -> PipelineTask:
    """Training: a heavy step of days. With several GPUs its processes hand each other gradients in shared memory."""
    heavy(task)
    kubernetes.set_timeout(task, seconds=72 * HOUR)
    # A pod has 64 MiB of shared memory otherwise. What is used of it counts towards the step's memory.
    return kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit="4Gi")


def done_each_time(task: PipelineTask) -> PipelineTask:
    """A step whose worth is that it happens (a deployment) or when it does (a measurement): no earlier one serves."""
    return task.set_caching_options(False)


def _sized(task: PipelineTask, cpu: tuple[str, str], memory: tuple[str, str], hours: int) -> PipelineTask:
    """cpu, memory: what is reserved, and what is given at most."""
    task.set_cpu_request(cpu[0]).set_cpu_limit(cpu[1])
    task.set_memory_request(memory[0]).set_memory_limit(memory[1])
    return kubernetes.set_timeout(task, seconds=hours * HOUR)
