"""What the labels of a dataset mean: its classes, its keypoints, and which tasks they can teach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from yolocore.data.labels import Instance
from yolocore.meta import KeypointShape, Task

UNKNOWN = -1  # in flip_idx: it is not known which keypoint takes this one's place
NOT_MIRRORED = (
    "no flip_idx says which keypoints change places in a mirror image, so training mirrors none; "
    "give it in the dataset.yaml (in COCO form, name keypoints left and right)"
)

# Kinds of labels, in the order in which they are listed. An image of class folders has nothing but its class.
KINDS = ("boxes", "polygons", "keypoints", "corners", "classes")

# The kinds of which a task needs any one, and how a dataset comes to have them.
NEEDS: dict[Task, tuple[tuple[str, ...], str]] = {
    "detect": (("boxes",), "add boxes"),
    "segment": (("polygons",), "add outlines"),
    "pose": (("keypoints",), "add keypoints"),
    "obb": (("corners", "polygons"), "add corners or outlines"),
    "classify": (("classes",), "sort its images into folders named as the classes"),
}


@dataclass(frozen=True)
class Legend:
    """What the numbers in a dataset's labels stand for.

    names: the classes. keypoints: how many an object has, and the numbers that the source gives for each (x y,
    or x y visibility); None without keypoints. flip_idx: for each keypoint, the one whose place it takes when the
    image is mirrored (left and right eye change places); where nothing is given, UNKNOWN for each of several.
    whole: an image is labelled with one class, as in class folders, and not with objects.
    """

    names: tuple[str, ...]
    keypoints: KeypointShape | None = None
    flip_idx: tuple[int, ...] = ()
    whole: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a flip_idx that is no exchange of keypoints."""
        count = self.keypoints[0] if self.keypoints else 0
        unknown = (UNKNOWN,) * count if count > 1 else tuple(range(count))
        object.__setattr__(self, "flip_idx", self.flip_idx or unknown)
        flip = self.flip_idx
        if flip == unknown:
            return
        if sorted(flip) != list(range(count)):
            raise ValueError(f"flip_idx is {list(flip)}; give each of 0..{count - 1} once")
        for i, j in enumerate(flip):
            if flip[j] != i:
                raise ValueError(
                    f"flip_idx puts {j} in the place of {i} but {flip[j]} in that of {j}; exchange two each"
                )

    @property
    def mirrors(self) -> bool:
        """Whether it is known what a mirrored image shows; without keypoints it is."""
        return UNKNOWN not in self.flip_idx

    def annotations(self, instances: Sequence[Instance]) -> Counter[str]:
        """How many of these objects have each kind of label."""
        if self.whole:
            return Counter(classes=len(instances))
        return Counter(kind for instance in instances for kind in instance.kinds)


def in_order(found: Collection[str]) -> tuple[str, ...]:
    """Kinds of labels in the order of `KINDS`."""
    return tuple(kind for kind in KINDS if kind in found)


def tasks_for(annotations: Sequence[str]) -> tuple[Task, ...]:
    """The tasks that labels of these kinds can teach."""
    return tuple(task for task, (kinds, _) in NEEDS.items() if set(kinds) & set(annotations))
