"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("deploy"), install_kfp_package=False)
def deploy(
    exported: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    deployment: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    repository: str = "serving",
    name: str = "detector",
    split: str = "val",
    max_map_drop: float = 0.01,
    host: str = "127.0.0.1",
    port: int = 8000,
    timeout: float = 60.0,
) -> None:
    """Serve a model with Triton, verify it through the server, and only then make it the champion.

    Args:
        repository: folder that holds the served models, kept between deployments
        name: name that clients ask for, and of the registered model
        split: split of the dataset that is used
        max_map_drop: largest loss of mAP50-95 between checkpoint and server
        host: address that a server started here listens on
        port: HTTP port; gRPC and metrics follow on the next two
        timeout: seconds until the server must be ready
    """
    from yolocore.component import perform

    perform(
        "deploy",
        result=deployment,
        metrics=metrics,
        report=report,
        exported=exported.path,
        data=dataset.path,
        repository=repository,
        name=name,
        split=split,
        max_map_drop=max_map_drop,
        host=host,
        port=port,
        timeout=timeout,
    )
