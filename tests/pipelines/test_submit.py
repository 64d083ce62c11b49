"""Submitting to a server that speaks the part of Kubeflow Pipelines' REST interface that is used."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.submit import main

TOKEN = "right"
KINDS = {"experiments": "experiment_id", "runs": "run_id", "recurringruns": "recurring_run_id"}
LISTS = {"experiments": "experiments", "runs": "runs", "recurringruns": "recurringRuns"}


class Kubeflow(ThreadingHTTPServer):
    """kept: what was created, by kind. refusal: status and answer to everything that would be created."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.kept: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.refusal: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Kubeflow

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        kind = url.path.rsplit("/", 1)[-1]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, "{}")
        elif kind == "healthz":
            self.answer(200, '{"multi_user": false}')
        else:
            (predicate,) = json.loads(parse_qs(url.query)["filter"][0])["predicates"]
            found = [each for each in self.server.kept[kind] if each["display_name"] == predicate["stringValue"]]
            self.answer(200, json.dumps({LISTS[kind]: found}))

    def do_POST(self) -> None:
        kind = urlsplit(self.path).path.rsplit("/", 1)[-1]
        made = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refusal and kind != "experiments":
            self.answer(*self.server.refusal)
            return
        made[KINDS[kind]] = f"{kind}-{len(self.server.kept[kind])}"
        self.server.kept[kind].append(made)
        self.answer(200, json.dumps(made))

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def kubeflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    with Kubeflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("KFP_HOST", server.url)
        monkeypatch.setenv("KFP_TOKEN", TOKEN)
        yield server
        server.shutdown()


def test_a_run_has_the_compiled_pipeline_the_forms_values_and_the_registrys_images(kubeflow, capsys):
    assert main(["train_epochs=3", "registry=registry.example/team/", "service_account=runner"]) == 0
    assert "submitted: runs-0" in capsys.readouterr().out
    (run,) = kubeflow.kept["runs"]
    assert run["display_name"] == "training"
    assert run["service_account"] == "runner"
    assert run["experiment_id"] == "experiments-0"
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["train_epochs"], parameters["train_batch"], parameters["val_imgsz"]) == (3, 16, "")
    assert parameters["deploy_host"] == "triton-candidate", "on a cluster no server runs in the step itself"
    spec = run["pipeline_spec"]["pipeline_spec"]
    images = [executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()]
    assert all(image.startswith("registry.example/team/yolocore-python-") for image in images)
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        pytest.param(["name=change-1"], "runs", id="run"),
        pytest.param(["name=nightly", "cron=0 0 2 * * *"], "recurringruns", id="schedule"),
    ],
)
def test_what_bears_a_name_is_submitted_once(words, kind, kubeflow, capsys):
    assert main(words) == main(words) == 0
    assert len(kubeflow.kept[kind]) == 1
    assert " before: " in capsys.readouterr().out


def test_runs_without_a_name_are_submitted_each_time(kubeflow):
    assert main([]) == main([]) == 0
    assert len(kubeflow.kept["runs"]) == 2


def test_a_schedule_has_the_times_and_catches_nothing_up(kubeflow):
    assert main(["pipeline=evaluation", "evaluation_model=s3://models/best", "cron=0 30 2 * * 1-5"]) == 0
    (schedule,) = kubeflow.kept["recurringruns"]
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * 1-5"
    assert schedule["no_catchup"] is True
    assert schedule["runtime_config"]["parameters"]["evaluation_model"] == "s3://models/best"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        pytest.param("cron=0 2 * * *", "has six fields, seconds first", id="five fields"),
        pytest.param("train_epoch=3", "did you mean 'train_epochs'?", id="misspelt parameter"),
        pytest.param("pipeline=train", "did you mean 'training'?", id="no such pipeline"),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(word, line, kubeflow, monkeypatch, capsys):
    monkeypatch.setenv("KFP_HOST", "http://127.0.0.1:9")  # nobody is there
    assert main([word]) == 2
    assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["commit=main"], id="a branch"),
        pytest.param([f"commit={'1' * 40}", "dataset=sha256:" + "2" * 64], id="with a dataset of its own"),
        pytest.param(
            [f"commit={'1' * 40}", "promotion_url=", "train_epochs=3"], id="as the sensor's workflow gives it"
        ),
    ],
)
def test_a_commit_whose_settings_cannot_be_read_is_refused(words, kubeflow, monkeypatch, capsys):
    """Or a push would be answered by a training on the form's defaults."""
    monkeypatch.delenv("GIT_URL", raising=False)
    assert main(["pipeline=retraining", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"submit: error: {words[0]}: its settings cannot be read, because GIT_URL is empty; set it")
    assert error.count("\n") == 1
    assert not kubeflow.kept["runs"]


def test_without_a_commit_no_repository_is_needed(kubeflow, monkeypatch):
    monkeypatch.delenv("GIT_URL", raising=False)
    assert main(["pipeline=retraining", "commit=", "dataset=", "pipeline_source=s3://bucket/images"]) == 0


@pytest.mark.parametrize("source", ["data/mine", "mine", "../data/mine/dataset.yaml"])
def test_a_source_that_only_a_checkout_has_is_refused(source, kubeflow, capsys):
    assert main(["pipeline=search", f"search_source={source}"]) == 2
    error = capsys.readouterr().err
    assert (
        f"search_source={source}: is a path of a checkout, and pods have none; give s3://…, or the digest that `"
        in error
    )
    assert f"offer data={source}` prints" in error and error.count("\n") == 1
    assert not kubeflow.kept["runs"]


@pytest.mark.parametrize(
    "source", ["demo", "demo-classify", "s3://a/b", "https://a/b.zip", "sha256:" + "1" * 64, "/a/b"]
)
def test_a_source_that_pods_may_have_is_submitted(source, kubeflow):
    assert main(["pipeline=retraining", f"pipeline_source={source}"]) == 0
    assert kubeflow.kept["runs"][0]["runtime_config"]["parameters"]["pipeline_source"] == source


@pytest.mark.parametrize(
    ("host", "token", "line", "code"),
    [
        pytest.param("", "x", "KFP_HOST=: is no URL", 2, id="none given"),
        pytest.param("kubeflow.example", "x", "KFP_HOST=kubeflow.example: is no URL", 2, id="no scheme"),
        pytest.param("http://127.0.0.1:9", "x", "cannot be reached", 5, id="nobody there"),
        pytest.param("{url}", "expired", "answers 401; KFP_TOKEN is expired", 5, id="expired token"),
        pytest.param("{url}", "", "answers 401; KFP_TOKEN is missing", 5, id="no token"),
    ],
)
def test_a_wrong_host_or_token_is_one_line(host, token, line, code, kubeflow, monkeypatch, capsys):
    monkeypatch.setenv("KFP_HOST", host.format(url=kubeflow.url))
    monkeypatch.setenv("KFP_TOKEN", token)
    assert main([]) == code
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not kubeflow.kept["runs"]


def test_what_kubeflow_says_against_a_run_is_passed_on(kubeflow, capsys):
    kubeflow.refusal = (400, json.dumps({"message": "Invalid input error:\n no such namespace"}))
    assert main([]) == 5
    assert capsys.readouterr().err.endswith("answers 400 (Invalid input error: no such namespace)\n")


def test_a_web_page_in_place_of_kubeflow(monkeypatch, capsys):
    class Page(Answers):
        def do_GET(self) -> None:
            self.answer(200, "<html>log in</html>")

    with Kubeflow() as server:
        server.RequestHandlerClass = Page
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("KFP_HOST", server.url)
        assert main([]) == 5
        server.shutdown()
    assert "answers, but not as Kubeflow Pipelines" in capsys.readouterr().err
