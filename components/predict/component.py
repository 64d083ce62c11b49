"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("predict"), install_kfp_package=False)
def predict(
    model: dsl.Input[dsl.Model],
    images: dsl.Input[dsl.Dataset],
    predictions: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    task: str = "",
    conf: float = 0.25,
    iou: float = 0.7,
    max_det: int = 300,
    imgsz: str = "",
    classes: str = "",
    agnostic_nms: bool = False,
    vid_stride: int = 1,
    save: bool = True,
    save_txt: bool = True,
    save_conf: bool = True,
    half: bool = False,
    device: str = "auto",
) -> None:
    """Find objects in images and videos.

    Args:
        task: task that the model must be for; empty: whichever it is for
        conf: lowest score of a detection that is kept
        iou: overlap (IoU) above which non-maximum suppression drops the lower-scored box
        max_det: most detections kept per image
        imgsz: longest side of the network's input in pixels; empty: the model's own
        classes: only these class indices; empty: all
        agnostic_nms: suppress across classes
        vid_stride: use every n-th frame of a video
        save: write pictures with the boxes drawn
        save_txt: write labels as text, one file an image
        save_conf: write scores into the text labels
        half: compute in half precision: float16 on a GPU, bfloat16 on a CPU that has it
        device: where to compute: auto, cpu, cuda or cuda:N
    """
    from yolocore.component import perform

    perform(
        "predict",
        result=predictions,
        metrics=metrics,
        report=report,
        model=model.path,
        source=images.path,
        task=task,
        conf=conf,
        iou=iou,
        max_det=max_det,
        imgsz=imgsz,
        classes=classes,
        agnostic_nms=agnostic_nms,
        vid_stride=vid_stride,
        save=save,
        save_txt=save_txt,
        save_conf=save_conf,
        half=half,
        device=device,
    )
