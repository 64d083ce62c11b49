"""What ends a retraining early."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("deploy"), install_kfp_package=False)
def news(checkpoint: dsl.Input[dsl.Model], report: dsl.Output[dsl.Markdown], name: str) -> str:
    """Tell whether a training has brought anything that is not in production already: `changed` or `same`.

    Args:
        name: name that clients ask for, and of the registered model
    """
    from yolocore.component.news import news

    return news(checkpoint=checkpoint, report=report, name=name)
