"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("benchmark"), install_kfp_package=False)
def gate(
    exported: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    comparison: dsl.Input[dsl.Artifact],
    verdict: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    champion: str = "",
    repository: str = "serving",
    name: str = "detector",
    split: str = "val",
    min_map_gain: float = -0.01,
    max_class_drop: float = 0.05,
    class_objects: int = 100,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    min_map: float = 0.0,
    max_latency_ms: str = "",
    max_megabytes: str = "",
    device: str = "auto",
) -> None:
    """Let a model through to deployment only if it is not worse than the one that serves.

    Args:
        champion: folder of an export step, or triton://host:port/name; empty: what the repository serves
        repository: folder that holds the served models
        name: name under which the champion serves
        split: split of the dataset that is used
        min_map_gain: the gain of mAP50-95 over the champion must surely exceed it: the low end of its interval
        max_class_drop: largest loss of any class's mAP50-95 against the champion
        class_objects: objects that make a class's loss a measured one; that of fewer is the least one of its interval
        confidence: share of the resamples that an interval holds
        resamples: times that the images are drawn anew to find the intervals
        seed: decides which images are drawn
        min_map: lowest mAP50-95, whatever the champion's is
        max_latency_ms: largest latency of the benchmark, 95th percentile in milliseconds; empty: any
        max_megabytes: largest size of the served model's file in MB; empty: any
        device: where to compute: auto, cpu, cuda or cuda:N
    """
    from yolocore.component import perform

    perform(
        "gate",
        result=verdict,
        metrics=metrics,
        report=report,
        exported=exported.path,
        data=dataset.path,
        benchmark=comparison.path,
        champion=champion,
        repository=repository,
        name=name,
        split=split,
        min_map_gain=min_map_gain,
        max_class_drop=max_class_drop,
        class_objects=class_objects,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        min_map=min_map,
        max_latency_ms=max_latency_ms,
        max_megabytes=max_megabytes,
        device=device,
    )
