"""Generated from the config tree by `python -m pipelines.generate`."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("ingest"), install_kfp_package=False)
def ingest(
    source: str,
    dataset: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    format: str = "auto",
    train_fraction: float = 0.8,
    val_fraction: float = 0.1,
    seed: int = 0,
    invalid: str = "refuse",
    shard_mb: int = 128,
    demo_images: int = 320,
    demo_imgsz: int = 160,
) -> None:
    """Turn a folder of images and labels into a dataset.

    Args:
        source: images and labels: folder, archive, URI (http, https, s3), digest of the object store, demo or demo-
            classify
        format: form of the source's labels
        train_fraction: share of the images for train where the source has no split
        val_fraction: share of the images for val; the rest is test
        seed: decides which image goes to which split, and the demo's pictures
        invalid: what happens to a broken image or label
        shard_mb: size of a shard in MB
        demo_images: images of the built-in data, all splits together
        demo_imgsz: side of the built-in data's images in pixels
    """
    from yolocore.component import perform

    perform(
        "ingest",
        result=dataset,
        metrics=metrics,
        report=report,
        source=source,
        format=format,
        train_fraction=train_fraction,
        val_fraction=val_fraction,
        seed=seed,
        invalid=invalid,
        shard_mb=shard_mb,
        demo_images=demo_images,
        demo_imgsz=demo_imgsz,
    )
