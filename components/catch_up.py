"""What a retraining that finds nothing new still owes production."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("deploy"), install_kfp_package=False)
def catch_up(
    promotion: dsl.Output[dsl.Artifact],
    name: str,
    url: str,
    file: str,
    branch: str,
) -> None:
    """Let a file of a git branch name the champion, if an earlier run could not; what was reverted there stays so.

    Args:
        name: name that clients ask for, and of the registered model
        url: of the git repository
        file: the overlay's model.env in it
        branch: that the cluster follows
    """
    from yolocore.component.promotion import catch_up

    catch_up(promotion=promotion, name=name, url=url, file=file, branch=branch)
