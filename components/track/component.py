"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("track"), install_kfp_package=False)
def track(
    model: dsl.Input[dsl.Model],
    source: str,
    tracks: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    conf: float = 0.1,
    iou: float = 0.7,
    max_det: int = 300,
    imgsz: str = "",
    classes: str = "",
    vid_stride: int = 1,
    track_high_thresh: float = 0.25,
    track_low_thresh: float = 0.1,
    new_track_thresh: float = 0.25,
    track_buffer: int = 30,
    match_thresh: float = 0.8,
    fuse_score: bool = True,
    save: bool = True,
    half: bool = False,
    device: str = "auto",
) -> None:
    """Follow objects through a video (ByteTrack).

    Args:
        source: video file, webcam index or stream URL; demo: the built-in video
        conf: lowest score of a detection that is kept
        iou: overlap (IoU) above which non-maximum suppression drops the lower-scored box
        max_det: most detections kept per image
        imgsz: longest side of the network's input in pixels; empty: the model's own
        classes: only these class indices; empty: all
        vid_stride: use every n-th frame
        track_high_thresh: score from which a detection is matched first
        track_low_thresh: score from which a detection may still continue a track
        new_track_thresh: score from which a detection may begin a track
        track_buffer: frames that a lost track is remembered, at 30 frames a second
        match_thresh: largest cost (1 - IoU) of a first match
        fuse_score: weigh overlap with the detection's score
        save: write the video with tracks drawn
        half: compute in half precision: float16 on a GPU, bfloat16 on a CPU that has it
        device: where to compute: auto, cpu, cuda or cuda:N
    """
    from yolocore.component import perform

    perform(
        "track",
        result=tracks,
        metrics=metrics,
        report=report,
        model=model.path,
        source=source,
        conf=conf,
        iou=iou,
        max_det=max_det,
        imgsz=imgsz,
        classes=classes,
        vid_stride=vid_stride,
        track_high_thresh=track_high_thresh,
        track_low_thresh=track_low_thresh,
        new_track_thresh=new_track_thresh,
        track_buffer=track_buffer,
        match_thresh=match_thresh,
        fuse_score=fuse_score,
        save=save,
        half=half,
        device=device,
    )
