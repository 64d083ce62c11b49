"""The image that a component runs in: its mode's own."""

import yolocore


def image(mode: str) -> str:
    """Name and tag. The tag is the version, so that results of another version are never taken from the cache."""
    return f"yolocore-python-{mode}:{yolocore.__version__}"
