"""What tasks need from Kubernetes: one small function `task -> task` for each concern."""

import os

from kfp import kubernetes
from kfp.dsl import PipelineTask

from yolocore.component.trainjob import GPU

HOUR = 3600  # seconds
TRIES = 3  # after the first

# GPUs of each step that runs PyTorch, decided when a pipeline is compiled (make package GPUS=1). A step that asks for
# one would wait for ever on a cluster without.
GPUS = int(os.environ.get("PIPELINE_GPUS") or 0)
# Nodes that train together, as a TrainJob of Kubeflow Trainer; decided likewise (make package NODES=2).
NODES = int(os.environ.get("PIPELINE_NODES") or 1)
COMPILED_ANEW = GPUS > 0 or NODES > 1  # what is committed is for neither

# What the namespace of the runs may have of its own, under these names. Where they are missing, steps do without.
SERVICES, S3, GIT = "yolocore-services", "s3", "git"
# What a form proposes on a cluster, in place of what the config tree has for a laptop.
CLUSTER = {
    "deploy_host": "triton-candidate",
    "trainjob_nodes": NODES,
    "trainjob_gpus": GPUS,
    "trainjob_processes": GPUS or 1,
}
PLACES = ("YOLO_STORE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")


def step(task: PipelineTask) -> PipelineTask:
    """What every step needs: its run's name, the servers around it, few rights, another try when its machine fails."""
    return retried(restricted(connected(traced(task))))


def traced(task: PipelineTask) -> PipelineTask:
    """Tell the step which pipeline run it belongs to, so that MLflow nests it there.

    It is told by the environment, because an input that differs in every run would spoil the cache.
    """
    return kubernetes.use_field_path_as_env(task, "YOLO_PIPELINE", "metadata.labels['pipeline/runid']")


def connected(task: PipelineTask) -> PipelineTask:
    """Tell the step where the object store and MLflow are, and what to show the bucket."""
    kubernetes.use_config_map_as_env(task, SERVICES, {name: name for name in PLACES}, optional=True)
    keys = {"access-key": "AWS_ACCESS_KEY_ID", "secret-key": "AWS_SECRET_ACCESS_KEY"}
    return kubernetes.use_secret_as_env(task, S3, keys, optional=True)


def restricted(task: PipelineTask) -> PipelineTask:
    """Let no image run the step as root. Kubeflow adds what else the restricted Pod Security level asks for.

    That is no more privileges, no capabilities, the runtime's seccomp profile. No user is named: clusters that give
    each namespace users of its own choose one, and the images do not mind which.
    """
    return kubernetes.set_security_context(task, run_as_non_root=True)


def retried(task: PipelineTask) -> PipelineTask:
    """Try again when a machine is lost, a server is away or training was preempted.

    Kubeflow doesn't look at exit codes: what no retry can mend leaves its verdict in the object store, and the tries
    that follow end at once with the same line (yolocore/component/verdict.py).
    """
    return task.set_retry(TRIES, backoff_duration="30s", backoff_factor=2, backoff_max_duration="600s")


def promoting(task: PipelineTask) -> PipelineTask:
    """Let the step commit as the bot."""
    return kubernetes.use_secret_as_env(task, GIT, {"token": "GIT_TOKEN"}, optional=True)


def with_repository(task: PipelineTask) -> PipelineTask:
    """Mount the repository of models that the candidate's server reads (manifests/candidate), where steps look."""
    return kubernetes.mount_pvc(task, "serving", "/yolo/serving")


def light(task: PipelineTask) -> PipelineTask:
    """A step that reads, copies or asks a server: half a core will do, and an hour."""
    return _sized(task, cpu=("500m", "2"), memory=("1Gi", "4Gi"), hours=1)


def heavy(task: PipelineTask) -> PipelineTask:
    """A step in which a network works through many images: it is given what a node has free, up to 8 cores."""
    return _sized(task, cpu=("1", "8"), memory=("2Gi", "16Gi"), hours=6)


def long(task: PipelineTask) -> PipelineTask:
    """Training: a heavy step of days. With several GPUs its processes hand each other gradients in shared memory."""
    accelerated(heavy(task))
    kubernetes.set_timeout(task, seconds=72 * HOUR)
    # A pod has 64 MiB of shared memory otherwise. What is used of it counts towards the step's memory.
    return kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit="4Gi")


def waiting(task: PipelineTask) -> PipelineTask:
    """A step that waits for a training elsewhere: it needs little, for days."""
    return kubernetes.set_timeout(light(task), seconds=72 * HOUR)


def accelerated(task: PipelineTask) -> PipelineTask:
    """Ask for GPUs, if pipelines are compiled for them, and go where the nodes that have some let nobody else go."""
    if GPUS:
        task.set_accelerator_type(GPU).set_accelerator_limit(GPUS)
        kubernetes.add_node_selector(task, f"{GPU}.present", "true")
        kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    return task


def done_each_time(task: PipelineTask) -> PipelineTask:
    """A step whose worth is that it happens (a deployment) or when it does (a measurement): no earlier one serves."""
    return task.set_caching_options(False)


def _sized(task: PipelineTask, cpu: tuple[str, str], memory: tuple[str, str], hours: int) -> PipelineTask:
    """cpu, memory: what is reserved, and what is given at most."""
    task.set_cpu_request(cpu[0]).set_cpu_limit(cpu[1])
    task.set_memory_request(memory[0]).set_memory_limit(memory[1])
    return kubernetes.set_timeout(task, seconds=hours * HOUR)
