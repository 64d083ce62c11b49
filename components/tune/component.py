"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def tune(
    dataset: dsl.Input[dsl.Dataset],
    checkpoint: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    model: str = "yolo11n",
    task: str = "",
    epochs: int = 100,
    batch: int = 16,
    imgsz: int = 640,
    patience: int = 100,
    seed: int = 0,
    fraction: float = 1.0,
    classes: str = "",
    single_cls: bool = False,
    freeze: int = 0,
    optimizer: str = "AdamW",
    lr0: float = 0.002,
    lrf: float = 0.01,
    momentum: float = 0.937,
    weight_decay: float = 0.0005,
    cos_lr: bool = False,
    warmup_epochs: float = 3.0,
    warmup_momentum: float = 0.8,
    warmup_bias_lr: float = 0.1,
    nbs: int = 64,
    box: float = 7.5,
    cls: float = 0.5,
    dfl: float = 1.5,
    pose: float = 12.0,
    kobj: float = 1.0,
    cls_pw: float = 0.0,
    dropout: float = 0.0,
    multi_scale: float = 0.0,
    rect: bool = False,
    mosaic: float = 1.0,
    close_mosaic: int = 10,
    mixup: float = 0.0,
    copy_paste: float = 0.0,
    degrees: float = 0.0,
    translate: float = 0.1,
    scale: float = 0.5,
    shear: float = 0.0,
    perspective: float = 0.0,
    hsv_h: float = 0.015,
    hsv_s: float = 0.7,
    hsv_v: float = 0.4,
    fliplr: float = 0.5,
    flipud: float = 0.0,
    crop: float = 0.08,
    erasing: float = 0.4,
    amp: bool = True,
    resume: bool = False,
    device: str = "auto",
    workers: int = 2,
    trials: int = 50,
    search: str = "",
) -> None:
    """Search the settings of training: many short trainings, each with other ones.

    Args:
        model: checkpoint to start from, or an architecture: yolo11n to yolo11x, with -seg, -pose, -cls, -obb behind it
            for tasks but detect
        task: task that the model must be for; empty: whichever it is for
        epochs: passes over the training images
        batch: images per step, over all processes; -1: as many as memory holds
        imgsz: side of the training images in pixels
        patience: epochs without a better fitness on val before training stops; 0: never
        seed: seed of weights, order and augmentation
        fraction: share of the training images that is used
        classes: learn only objects of these class indices; empty: all
        single_cls: learn all objects as one class
        freeze: layers from the input on that keep their weights
        optimizer: not auto, which would ignore the learning rates that are tried
        lr0: initial learning rate of the first training
        lrf: final learning rate as a share of the initial one
        momentum: SGD momentum, or Adam's beta1
        weight_decay: decay of convolution weights, at the nominal batch
        cos_lr: cosine schedule in place of the linear one
        warmup_epochs: epochs of warm-up
        warmup_momentum: momentum at the start of the warm-up
        warmup_bias_lr: learning rate of biases at the start of the warm-up (SGD)
        nbs: nominal batch: gradients are accumulated up to it (optimizer=auto: in long trainings)
        box: weight of the box loss (CIoU)
        cls: weight of the class loss (binary cross-entropy)
        dfl: weight of the distribution focal loss
        pose: weight of the keypoint loss
        kobj: weight of the loss of keypoints' visibility
        cls_pw: weigh classes by their inverse frequency to this power; 0: alike
        dropout: classify: share of features dropped before the last layer
        multi_scale: largest change of a batch's size in pixels, as a share of imgsz
        rect: batches of images of like shape, each padded to a rectangle; without mosaic and mixup
        mosaic: probability of a mosaic of four images
        close_mosaic: last epochs without mosaic, mixup and copy-paste
        mixup: probability of blending two pictures
        copy_paste: segment: probability of pasting an image's objects, mirrored, into it
        degrees: largest rotation in degrees, either way
        translate: largest shift as a share of the image
        scale: largest zoom, in and out, as a share
        shear: largest shear in degrees, either way
        perspective: largest perspective coefficient
        hsv_h: largest change of hue as a share of the circle
        hsv_s: largest change of saturation as a share
        hsv_v: largest change of brightness as a share
        fliplr: probability of a left-right flip
        flipud: probability of an upside-down flip
        crop: classify: smallest share of an image's area that a random crop shows
        erasing: classify: probability of erasing a random rectangle
        amp: mixed precision where the hardware has it
        resume: go on with the interrupted search; refuse to begin another
        device: where to compute: auto, cpu, cuda or cuda:N
        workers: threads that prepare batches, on a GPU in processes of their own; 0: none ahead of the main one
        trials: trainings, those with the given settings and the failed ones included
        search: settings of training that are searched, the others keep the values given here; empty: a choice by task
    """
    from yolocore.component import perform

    perform(
        "tune",
        result=checkpoint,
        metrics=metrics,
        report=report,
        data=dataset.path,
        model=model,
        task=task,
        epochs=epochs,
        batch=batch,
        imgsz=imgsz,
        patience=patience,
        seed=seed,
        fraction=fraction,
        classes=classes,
        single_cls=single_cls,
        freeze=freeze,
        optimizer=optimizer,
        lr0=lr0,
        lrf=lrf,
        momentum=momentum,
        weight_decay=weight_decay,
        cos_lr=cos_lr,
        warmup_epochs=warmup_epochs,
        warmup_momentum=warmup_momentum,
        warmup_bias_lr=warmup_bias_lr,
        nbs=nbs,
        box=box,
        cls=cls,
        dfl=dfl,
        pose=pose,
        kobj=kobj,
        cls_pw=cls_pw,
        dropout=dropout,
        multi_scale=multi_scale,
        rect=rect,
        mosaic=mosaic,
        close_mosaic=close_mosaic,
        mixup=mixup,
        copy_paste=copy_paste,
        degrees=degrees,
        translate=translate,
        scale=scale,
        shear=shear,
        perspective=perspective,
        hsv_h=hsv_h,
        hsv_s=hsv_s,
        hsv_v=hsv_v,
        fliplr=fliplr,
        flipud=flipud,
        crop=crop,
        erasing=erasing,
        amp=amp,
        resume=resume,
        device=device,
        workers=workers,
        trials=trials,
        search=search,
    )
