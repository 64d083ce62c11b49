"""What the compiled retraining does, and on which conditions."""

import pytest

from tests.pipelines.compiled import documents, reached

SPEC, PLATFORM = documents("retraining")
PROMOTION = {"url": "promotion_url", "file": "promotion_file", "branch": "promotion_branch"}


@pytest.mark.parametrize(
    ("task", "conditions", "more"),
    [
        pytest.param("catch-up", ["news.Output == 'same'", "promotion_url != ''"], {"name": "deploy_name"}, id="same"),
        pytest.param("promote", ["news.Output == 'changed'", "promotion_url != ''"], {}, id="changed"),
    ],
)
def test_production_is_told_whether_or_not_there_is_news(task, conditions, more):
    assert reached(SPEC, task) == (conditions, PROMOTION | more)
    executor = PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{task}"]
    assert "git" in {each["secretName"] for each in executor["secretAsEnv"]}


@pytest.mark.parametrize("task", ["val", "gate", "deploy"])
def test_without_news_nothing_is_measured_or_deployed(task):
    assert reached(SPEC, task)[0] == ["news.Output == 'changed'"]


def test_the_commit_goes_into_the_runs_record():
    assert reached(SPEC, "conclude")[1]["commit"] == "retraining_commit"
