"""Datasets: where images and labels come from, how they are kept, and how they are read again."""

from yolocore.data.dataset import Dataset, Split, open_dataset
from yolocore.data.images import decode_image
from yolocore.data.labels import Labels

__all__ = ["Dataset", "Labels", "Split", "decode_image", "open_dataset"]
