"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("benchmark"), install_kfp_package=False)
def benchmark(
    exported: dsl.Input[dsl.Model],
    openvino: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    comparison: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    formats: str = "",
    split: str = "val",
    imgsz: str = "",
    conf: float = 0.001,
    iou: float = 0.7,
    max_det: int = 300,
    warmup: int = 5,
    images: int = 100,
    half: bool = False,
    device: str = "auto",
) -> None:
    """Compare the formats of a model: size, accuracy, speed, memory.

    Args:
        formats: formats to compare; empty: the model's own, and those exported beside it or, if none is, all
        split: split of the dataset that is used
        imgsz: longest side of the network's input in pixels; empty: the model's own
        conf: lowest score of a detection that is kept
        iou: overlap (IoU) above which non-maximum suppression drops the lower-scored box
        max_det: most detections kept per image
        warmup: images before the clock starts
        images: images timed, one at a time
        half: compute in half precision: float16 on a GPU, bfloat16 on a CPU that has it
        device: where to compute: auto, cpu, cuda or cuda:N
    """
    from yolocore.component import perform

    perform(
        "benchmark",
        result=comparison,
        metrics=metrics,
        report=report,
        model=exported.path,
        exported=f"{exported.path},{openvino.path}",
        data=dataset.path,
        formats=formats,
        split=split,
        imgsz=imgsz,
        conf=conf,
        iou=iou,
        max_det=max_det,
        warmup=warmup,
        images=images,
        half=half,
        device=device,
    )
