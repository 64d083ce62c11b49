"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("export"), install_kfp_package=False)
def export(
    checkpoint: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    exported: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    format: str = "onnx",
    imgsz: str = "",
    dynamic: bool = True,
    simplify: bool = True,
    opset: int = 20,
    conf: float = 0.25,
    iou: float = 0.7,
    max_det: int = 300,
    parity_images: int = 16,
    parity_iou: float = 0.99,
    parity_score: float = 0.005,
) -> None:
    """Write a checkpoint in a deployment format and prove that it is the same model.

    Args:
        format: target format; onnx is the one that is served
        imgsz: longest side of the network's input in pixels; empty: the model's own
        dynamic: accept any batch size and any image size that is a multiple of the stride
        simplify: fold constants and fuse nodes
        opset: ONNX operator set
        conf: lowest score in the serving model's answer
        iou: overlap (IoU) above which non-maximum suppression drops the lower-scored box
        max_det: rows of the serving model's answer
        parity_images: validation images on which the export is compared with the checkpoint
        parity_iou: lowest IoU of a matched pair of boxes
        parity_score: largest difference of score of a matched pair
    """
    from yolocore.component import perform

    perform(
        "export",
        result=exported,
        metrics=metrics,
        report=report,
        model=checkpoint.path,
        data=dataset.path,
        format=format,
        imgsz=imgsz,
        dynamic=dynamic,
        simplify=simplify,
        opset=opset,
        conf=conf,
        iou=iou,
        max_det=max_det,
        parity_images=parity_images,
        parity_iou=parity_iou,
        parity_score=parity_score,
    )
