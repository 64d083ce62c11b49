"""The last step of a retraining: production is told by a commit."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("deploy"), install_kfp_package=False)
def promote(
    deployment: dsl.Input[dsl.Artifact],
    promotion: dsl.Output[dsl.Artifact],
    url: str,
    file: str,
    branch: str,
) -> None:
    """Let a file of a git branch name the model that was deployed; the cluster follows it.

    Args:
        url: of the git repository
        file: the overlay's model.env in it
        branch: that the cluster follows
    """
    from yolocore.component.promotion import promote

    promote(deployment=deployment, promotion=promotion, url=url, file=file, branch=branch)
