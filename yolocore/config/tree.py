"""The config tree: one section a mode, and one for the pipeline. Its YAML form is `params.yaml`.

Names and defaults are the ones that users of YOLO know. `None` for `imgsz` means the size that the
model was trained at, which every checkpoint and exported model carries with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError
from pydantic.fields import FieldInfo

from yolocore.config.base import Section, option
from yolocore.config.describe import unknown, wanted
from yolocore.errors import UsageError
from yolocore.meta import Task


def _not_zero(batch: int) -> int:
    if batch == 0:
        raise ValueError("a batch has at least one image; -1 chooses the size by the memory")
    return batch


ImageSize = Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
ClassIndex = Annotated[int, Field(ge=0)]
Batch = Annotated[int, Field(ge=-1), AfterValidator(_not_zero)]
Optimizer = Literal["auto", "SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSProp"]
ExportFormat = Literal["onnx", "openvino"]
BenchmarkFormat = Literal["torch", "onnx", "openvino"]

DEVICE = "where to compute: auto, cpu, cuda or cuda:N"
CONF = "lowest score of a detection that is kept"
IOU = "overlap (IoU) above which non-maximum suppression drops the lower-scored box"
MAX_DET = "most detections kept per image"
HALF = "compute in half precision: float16 on a GPU, bfloat16 on a CPU that has it"
IMGSZ = "longest side of the network's input in pixels; empty: the model's own"
SPLIT = "split of the dataset that is used"
NAME = r"^[a-z][a-z0-9_-]*$"
TASK = "task that the model must be for; empty: whichever it is for"


class PipelineConfig(Section):
    """What the chain starts from. No mode: it fills the inputs of the first steps of a pipeline."""

    source: str = option("demo", "images and labels: folder, archive or URI; demo: the built-in data")
    model: str = option("yolo11n", "checkpoint that training starts from, or an architecture to train from scratch")
    champion: str = option(
        "", "served model that a new one has to stand against, as triton://host:port/name; empty: the repository's own"
    )
    video: str = option("demo", "video that objects are followed through: a file; demo: the built-in one")


class IngestConfig(Section):
    """Turn a folder of images and labels into a dataset."""

    format: Literal["auto", "yolo", "coco", "voc", "folders"] = option("auto", "form of the source's labels")
    train_fraction: float = option(0.8, "share of the images for train where the source has no split", gt=0, lt=1)
    val_fraction: float = option(0.1, "share of the images for val; the rest is test", gt=0, lt=1)
    seed: int = option(0, "decides which image goes to which split, and the demo's pictures", ge=0)
    invalid: Literal["refuse", "drop"] = option("refuse", "what happens to a broken image or label")
    shard_mb: int = option(128, "size of a shard in MB", ge=1, le=1024)
    demo_images: int = option(320, "images of the built-in data, all splits together", ge=8, le=100_000)
    demo_imgsz: ImageSize = option(160, "side of the built-in data's images in pixels")


class TrainConfig(Section):
    """Train a model, from scratch or from a checkpoint."""

    task: Task | None = option(None, TASK)
    epochs: int = option(100, "passes over the training images", ge=1)
    batch: Batch = option(16, "images per step, over all processes; -1: as many as memory holds")
    imgsz: ImageSize = option(640, "side of the training images in pixels")
    patience: int = option(100, "epochs without a better fitness on val before training stops; 0: never", ge=0)
    seed: int = option(0, "seed of weights, order and augmentation", ge=0)
    fraction: float = option(1.0, "share of the training images that is used", gt=0, le=1)
    classes: tuple[ClassIndex, ...] | None = option(None, "learn only objects of these class indices; empty: all")
    single_cls: bool = option(False, "learn all objects as one class")
    freeze: int = option(0, "layers from the input on that keep their weights", ge=0)
    optimizer: Optimizer = option("auto", "auto: AdamW for short runs, SGD for long ones")
    lr0: float = option(0.01, "initial learning rate (ignored by optimizer=auto)", gt=0)
    lrf: float = option(0.01, "final learning rate as a share of the initial one", gt=0, le=1)
    momentum: float = option(0.937, "SGD momentum, or Adam's beta1", ge=0, lt=1)
    weight_decay: float = option(0.0005, "decay of convolution weights, at the nominal batch", ge=0)
    cos_lr: bool = option(False, "cosine schedule in place of the linear one")
    warmup_epochs: float = option(3.0, "epochs of warm-up", ge=0)
    warmup_momentum: float = option(0.8, "momentum at the start of the warm-up", ge=0, lt=1)
    warmup_bias_lr: float = option(0.1, "learning rate of biases at the start of the warm-up (SGD)", ge=0)
    nbs: int = option(64, "nominal batch: gradients are accumulated up to it (optimizer=auto: in long trainings)", ge=1)
    box: float = option(7.5, "weight of the box loss (CIoU)", ge=0)
    cls: float = option(0.5, "weight of the class loss (binary cross-entropy)", ge=0)
    dfl: float = option(1.5, "weight of the distribution focal loss", ge=0)
    pose: float = option(12.0, "weight of the keypoint loss", ge=0)
    kobj: float = option(1.0, "weight of the loss of keypoints' visibility", ge=0)
    cls_pw: float = option(0.0, "weigh classes by their inverse frequency to this power; 0: alike", ge=0, le=1)
    dropout: float = option(0.0, "classify: share of features dropped before the last layer", ge=0, lt=1)
    multi_scale: float = option(0.0, "largest change of a batch's size in pixels, as a share of imgsz", ge=0, lt=1)
    rect: bool = option(False, "batches of images of like shape, each padded to a rectangle; without mosaic and mixup")
    mosaic: float = option(1.0, "probability of a mosaic of four images", ge=0, le=1)
    close_mosaic: int = option(10, "last epochs without mosaic, mixup and copy-paste", ge=0)
    mixup: float = option(0.0, "probability of blending two pictures", ge=0, le=1)
    copy_paste: float = option(0.0, "segment: probability of pasting an image's objects, mirrored, into it", ge=0, le=1)
    degrees: float = option(0.0, "largest rotation in degrees, either way", ge=0, le=180)
    translate: float = option(0.1, "largest shift as a share of the image", ge=0, le=1)
    scale: float = option(0.5, "largest zoom, in and out, as a share", ge=0, lt=1)
    shear: float = option(0.0, "largest shear in degrees, either way", ge=0, lt=90)
    perspective: float = option(0.0, "largest perspective coefficient", ge=0, le=0.001)
    hsv_h: float = option(0.015, "largest change of hue as a share of the circle", ge=0, le=1)
    hsv_s: float = option(0.7, "largest change of saturation as a share", ge=0, le=1)
    hsv_v: float = option(0.4, "largest change of brightness as a share", ge=0, le=1)
    fliplr: float = option(0.5, "probability of a left-right flip", ge=0, le=1)
    flipud: float = option(0.0, "probability of an upside-down flip", ge=0, le=1)
    crop: float = option(0.08, "classify: smallest share of an image's area that a random crop shows", gt=0, le=1)
    erasing: float = option(0.4, "classify: probability of erasing a random rectangle", ge=0, le=1)
    amp: bool = option(True, "mixed precision where the hardware has it")
    resume: bool = option(False, "go on with the interrupted training; refuse to begin another", machine=True)
    device: str = option("auto", DEVICE, machine=True)
    workers: int = option(
        2,
        "threads that prepare batches, on a GPU in processes of their own; 0: none ahead of the main one",
        machine=True,
        ge=0,
        le=64,
    )


class TuneConfig(TrainConfig):
    """Search the settings of training: many short trainings, each with other ones."""

    trials: int = option(50, "trainings, those with the given settings and the failed ones included", ge=1)
    search: tuple[str, ...] | None = option(
        None,
        "settings of training that are searched, the others keep the values given here; empty: a choice by task",
        min_length=1,
    )
    optimizer: Optimizer = option("AdamW", "not auto, which would ignore the learning rates that are tried")
    lr0: float = option(0.002, "initial learning rate of the first training", gt=0)
    resume: bool = option(False, "go on with the interrupted search; refuse to begin another", machine=True)


class ValConfig(Section):
    """Measure a model on a dataset."""

    task: Task | None = option(None, TASK)
    split: str = option("val", SPLIT)
    imgsz: ImageSize | None = option(None, IMGSZ)
    batch: int = option(16, "images per forward pass", ge=1)
    conf: float = option(0.001, CONF, ge=0, lt=1)
    iou: float = option(0.7, IOU, gt=0, le=1)
    max_det: int = option(300, MAX_DET, ge=1)
    classes: tuple[ClassIndex, ...] | None = option(None, "count only objects of these class indices; empty: all")
    rect: bool = option(True, "pad images to a rectangle, not to a square, where the model allows it")
    half: bool = option(False, HALF)
    device: str = option("auto", DEVICE, machine=True)


class PredictConfig(Section):
    """Find objects in images and videos."""

    task: Task | None = option(None, TASK)
    conf: float = option(0.25, CONF, ge=0, lt=1)
    iou: float = option(0.7, IOU, gt=0, le=1)
    max_det: int = option(300, MAX_DET, ge=1)
    imgsz: ImageSize | None = option(None, IMGSZ)
    classes: tuple[ClassIndex, ...] | None = option(None, "only these class indices; empty: all")
    agnostic_nms: bool = option(False, "suppress across classes")
    vid_stride: int = option(1, "use every n-th frame of a video", ge=1)
    save: bool = option(True, "write pictures with the boxes drawn")
    save_txt: bool = option(True, "write labels as text, one file an image")
    save_conf: bool = option(True, "write scores into the text labels")
    half: bool = option(False, HALF)
    device: str = option("auto", DEVICE, machine=True)


class ExportConfig(Section):
    """Write a checkpoint in a deployment format and prove that it is the same model."""

    format: ExportFormat = option("onnx", "target format; onnx is the one that is served")
    imgsz: ImageSize | None = option(None, IMGSZ)
    dynamic: bool = option(True, "accept any batch size and any image size that is a multiple of the stride")
    simplify: bool = option(True, "fold constants and fuse nodes")
    opset: int = option(20, "ONNX operator set", ge=18, le=20)
    conf: float = option(0.25, "lowest score in the serving model's answer", ge=0, lt=1)
    iou: float = option(0.7, IOU, gt=0, le=1)
    max_det: int = option(300, "rows of the serving model's answer", ge=1)
    parity_images: int = option(16, "validation images on which the export is compared with the checkpoint", ge=1)
    parity_iou: float = option(0.99, "lowest IoU of a matched pair of boxes", gt=0, le=1)
    parity_score: float = option(0.005, "largest difference of score of a matched pair", gt=0, lt=1)


class BenchmarkConfig(Section):
    """Compare the formats of a model: size, accuracy, speed, memory."""

    formats: tuple[BenchmarkFormat, ...] | None = option(
        None, "formats to compare; empty: the model's own, and those exported beside it or, if none is, all"
    )
    split: str = option("val", SPLIT)
    imgsz: ImageSize | None = option(None, IMGSZ)
    conf: float = option(0.001, CONF, ge=0, lt=1)
    iou: float = option(0.7, IOU, gt=0, le=1)
    max_det: int = option(300, MAX_DET, ge=1)
    warmup: int = option(5, "images before the clock starts", ge=0, machine=True)
    images: int = option(100, "images timed, one at a time", ge=1, machine=True)
    half: bool = option(False, HALF)
    device: str = option("auto", DEVICE, machine=True)


class GateConfig(Section):
    """Let a model through to deployment only if it is not worse than the one that serves."""

    name: str = option("detector", "name under which the champion serves", pattern=NAME)
    split: str = option("val", SPLIT)
    min_map_gain: float = option(
        -0.01, "the gain of mAP50-95 over the champion must surely exceed it: the low end of its interval", ge=-1, le=1
    )
    max_class_drop: float = option(0.05, "largest loss of any class's mAP50-95 against the champion", ge=0, le=1)
    class_objects: int = option(
        100, "objects that make a class's loss a measured one; that of fewer is the least one of its interval", ge=1
    )
    confidence: float = option(0.95, "share of the resamples that an interval holds", gt=0, lt=1)
    resamples: int = option(1000, "times that the images are drawn anew to find the intervals", ge=100, le=100_000)
    seed: int = option(0, "decides which images are drawn", ge=0)
    min_map: float = option(0.0, "lowest mAP50-95, whatever the champion's is", ge=0, le=1)
    max_latency_ms: float | None = option(
        None, "largest latency of the benchmark, 95th percentile in milliseconds; empty: any", gt=0
    )
    max_megabytes: float | None = option(None, "largest size of the served model's file in MB; empty: any", gt=0)
    device: str = option("auto", DEVICE, machine=True)


class DeployConfig(Section):
    """Serve a model with Triton, verify it through the server, and only then make it the champion."""

    name: str = option("detector", "name that clients ask for, and of the registered model", pattern=NAME)
    split: str = option("val", SPLIT)
    max_map_drop: float = option(0.01, "largest loss of mAP50-95 between checkpoint and server", ge=0, le=1)
    host: str = option("127.0.0.1", "address that a server started here listens on", machine=True)
    port: int = option(8000, "HTTP port; gRPC and metrics follow on the next two", machine=True, ge=1, le=65533)
    timeout: float = option(60.0, "seconds until the server must be ready", machine=True, gt=0)


class TrackConfig(Section):
    """Follow objects through a video (ByteTrack)."""

    conf: float = option(0.1, CONF, ge=0, lt=1)
    iou: float = option(0.7, IOU, gt=0, le=1)
    max_det: int = option(300, MAX_DET, ge=1)
    imgsz: ImageSize | None = option(None, IMGSZ)
    classes: tuple[ClassIndex, ...] | None = option(None, "only these class indices; empty: all")
    vid_stride: int = option(1, "use every n-th frame", ge=1)
    track_high_thresh: float = option(0.25, "score from which a detection is matched first", ge=0, le=1)
    track_low_thresh: float = option(0.1, "score from which a detection may still continue a track", ge=0, le=1)
    new_track_thresh: float = option(0.25, "score from which a detection may begin a track", ge=0, le=1)
    track_buffer: int = option(30, "frames that a lost track is remembered, at 30 frames a second", ge=0)
    match_thresh: float = option(0.8, "largest cost (1 - IoU) of a first match", gt=0, le=1)
    fuse_score: bool = option(True, "weigh overlap with the detection's score")
    save: bool = option(True, "write the video with tracks drawn")
    half: bool = option(False, HALF)
    device: str = option("auto", DEVICE, machine=True)


class Tree(Section):
    """All modes. `params.yaml` holds this tree; what it leaves out has its default."""

    pipeline: PipelineConfig = PipelineConfig()
    ingest: IngestConfig = IngestConfig()
    train: TrainConfig = TrainConfig()
    tune: TuneConfig = TuneConfig()
    val: ValConfig = ValConfig()
    predict: PredictConfig = PredictConfig()
    export: ExportConfig = ExportConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    gate: GateConfig = GateConfig()
    deploy: DeployConfig = DeployConfig()
    track: TrackConfig = TrackConfig()


MODES: tuple[str, ...] = tuple(name for name in Tree.model_fields if name != "pipeline")


def section_class(mode: str) -> type[Section]:
    """The config class of a mode. Raises KeyError for a name that is no mode."""
    annotation = Tree.model_fields[mode].annotation
    assert isinstance(annotation, type) and issubclass(annotation, Section)
    return annotation


def load_tree(path: str | Path) -> Tree:
    """Read `params.yaml`. Raises UsageError that names the file, the key and the reason."""
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give the path of a params.yaml") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None
    try:
        return Tree.model_validate(content or {})
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, Tree)}") from None


def explain(error: ValidationError, section: type[Section]) -> str:
    """The worst problem of a validation error as one line: key, value, reason, and the nearest valid key or what the
    value has to be."""
    # An unknown key before a missing one: it is the same key, misspelt.
    problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    *above, last = (str(part) for part in problem["loc"])
    key = ".".join((*above, last))
    if problem["type"] == "extra_forbidden":
        parent: Any = section
        for part in above:
            parent = parent.model_fields[part].annotation
        return unknown("key", last, parent.model_fields, "".join(f"{part}." for part in above))
    if problem["type"] == "missing":
        return f"{key}= is missing: {section.model_fields[key].description}"
    reason = f"{key}={problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
    field = _setting(section, (*above, last))
    if field is None or field.annotation is str or problem["type"] in ("literal_error", "value_error"):
        return reason  # which says what is valid
    return f"{reason}; give {wanted(field)}"


def _setting(section: type[Section], parts: Sequence[str]) -> FieldInfo | None:
    """The setting that a place in the tree belongs to; None for a whole section."""
    place: Any = section
    for part in parts:
        field: FieldInfo = place.model_fields[part]
        if not hasattr(field.annotation, "model_fields"):
            return field
        place = field.annotation
    return None
