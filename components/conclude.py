"""The exit handler of pipelines."""

from kfp import dsl

from components.image import image


@dsl.component(base_image=image("deploy"), install_kfp_package=False)
def conclude(
    status: dsl.PipelineTaskFinalStatus,
    record: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.Markdown],
    commit: str = "",
) -> None:
    """Tell how the run ended, whatever became of it: which steps ran, and what they measured.

    Args:
        commit: what the run was started for; empty: nothing of the kind
    """
    from yolocore.component.conclusion import conclude

    conclude(state=status.state, error=status.error_message or "", commit=commit, record=record, report=report)
