"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("val"), install_kfp_package=False)
def val(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    task: str = "",
    split: str = "val",
    imgsz: str = "",
    batch: int = 16,
    conf: float = 0.001,
    iou: float = 0.7,
    max_det: int = 300,
    classes: str = "",
    rect: bool = True,
    half: bool = False,
    device: str = "auto",
) -> None:
    """Measure a model on a dataset.

    Args:
        task: task that the model must be for; empty: whichever it is for
        split: split of the dataset that is used
        imgsz: longest side of the network's input in pixels; empty: the model's own
        batch: images per forward pass
        conf: lowest score of a detection that is kept
        iou: overlap (IoU) above which non-maximum suppression drops the lower-scored box
        max_det: most detections kept per image
        classes: count only objects of these class indices; empty: all
        rect: pad images to a rectangle, not to a square, where the model allows it
        half: compute in half precision: float16 on a GPU, bfloat16 on a CPU that has it
        device: where to compute: auto, cpu, cuda or cuda:N
    """
    from yolocore.component import perform

    perform(
        "val",
        result=evaluation,
        metrics=metrics,
        report=report,
        confusion=confusion,
        model=model.path,
        data=dataset.path,
        task=task,
        split=split,
        imgsz=imgsz,
        batch=batch,
        conf=conf,
        iou=iou,
        max_det=max_det,
        classes=classes,
        rect=rect,
        half=half,
        device=device,
    )
