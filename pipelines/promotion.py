"""What pipelines that deploy are told of the repository that the cluster follows."""

from yolocore.config import Section
from yolocore.config.base import option


class PromotionInputs(Section):
    """Where production is told which model it serves."""

    url: str = option("", "git repository that the cluster follows; empty: nothing is promoted")
    file: str = option("manifests/overlays/cpu/model.env", "file in it that names the model")
    branch: str = option("main", "branch that the cluster follows")
