"""Submit a pipeline to Kubeflow, once or on a schedule.

    python -m pipelines.submit pipeline=training registry=registry.example/team pipeline_source=s3://bucket/images
    python -m pipelines.submit pipeline=retraining name=nightly cron="0 0 2 * * *"

Keys are the parameters of the pipeline's form, as `run_local` takes them; beside them

    name      of the run, or of the schedule: what bears that name already is not submitted again
    cron      six fields, seconds first: submit at these times from now on
    registry  where the images were pushed to; empty: nodes have them under their plain names
    experiment, namespace, service_account: of Kubeflow; empty: its own defaults
    commit    pipeline=retraining: the settings are those of params.yaml there, in the repository of GIT_URL
    dataset   pipeline=retraining: digest of images and labels in the object store, in place of pipeline_source

Steps run in pods, which have no checkout: a source that is a path below the working directory is refused.

KFP_HOST says where Kubeflow Pipelines is (its UI or API, as a URL), KFP_TOKEN what to show it, if it asks.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.kubernetes import CLUSTER
from pipelines.package import packaged
from pipelines.request import PipelineRequest, read_pipeline
from yolocore.errors import ServiceError, UsageError
from yolocore.modes.inputs import DEMO, DEMO_CLASSIFY
from yolocore.modes.request import read_keys
from yolocore.views.ending import exit_code

if TYPE_CHECKING:
    from kfp import Client

SECONDS = 10  # until a server must have answered
PARAMS = "params.yaml"


def main(words: Sequence[str]) -> int:
    """Submit with 'key=value' words; returns the exit code."""
    return exit_code("submit", lambda: submit(**read_keys(words)))


def submit(
    name: str = "",
    cron: str = "",
    registry: str = "",
    experiment: str = "yolocore",
    namespace: str = "",
    service_account: str = "",
    **keys: str,
) -> None:
    """Raises UsageError for wrong keys, before anything is asked for, and ServiceError when Kubeflow refuses."""
    request = read_submission(**keys)
    if cron and len(cron.split()) != 6:
        raise UsageError(f'cron={cron!r}: has six fields, seconds first, as in "0 0 2 * * *" (at two each night)')
    client = _connect()
    with _refusals(), tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / f"{request.name}.yaml"
        package.write_text(packaged(request.name, registry), encoding="utf-8")
        within = {
            "experiment_id": client.create_experiment(experiment, namespace=namespace or None).experiment_id,
            "namespace": namespace or None,
        }
        what = {
            "experiment_id": within["experiment_id"],
            "job_name": name or request.name,
            "params": request.arguments,
            "pipeline_package_path": str(package),
            "service_account": service_account or None,
        }
        if cron:
            found = _called(client.list_recurring_runs(**_filter(what["job_name"]), **within).recurring_runs)
            if found:
                print(f"scheduled before: {found.recurring_run_id}; delete it in Kubeflow to change it")
            else:
                made = client.create_recurring_run(cron_expression=cron, no_catchup=True, **what)
                print(f"scheduled: {made.recurring_run_id}")
        else:
            found = _called(client.list_runs(**_filter(name), **within).runs) if name else None
            if found:
                print(f"submitted before: {found.run_id}")
            else:
                print(f"submitted: {client.run_pipeline(**what).run_id}")


def read_submission(commit: str = "", dataset: str = "", **keys: str) -> PipelineRequest:
    """What is to be submitted.

    Raises what `read_pipeline` does, the errors of fetching a commit's settings, and UsageError for a commit that
    nobody says where to fetch, and for a source that no pod has.
    """
    if commit:
        keys["retraining_commit"] = commit
    if dataset:
        keys["pipeline_source"] = dataset
    with tempfile.TemporaryDirectory() as folder:
        params = {"params": str(_settings_of(commit, Path(folder)))} if commit else {}
        request = read_pipeline(defaults=CLUSTER, **{**keys, **params})
    for key, value in request.arguments.items():
        if key.endswith("_source") and _of_a_checkout(value):
            raise UsageError(
                f"{key}={value}: is a path of a checkout, and pods have none; give s3://…, or the digest that "
                f"`python -m yolocore.gitops offer data={value}` prints"
            )
    return request


def _settings_of(commit: str, folder: Path) -> Path:
    """A commit's params.yaml, in a folder here. Without it a run would learn the form's defaults, and look well."""
    url = os.environ.get("GIT_URL", "")
    if not url:
        raise UsageError(
            f"commit={commit}: its settings cannot be read, because GIT_URL is empty; set it to the repository's URL "
            "(in a cluster: manifests/gitops/source/source.env), or leave out commit="
        )
    from yolocore.gitops.read import read_at

    params = folder / PARAMS
    params.write_bytes(read_at(url, commit, PARAMS))
    return params


def _of_a_checkout(source: str) -> bool:
    """Whether a source is a relative path, and neither built-in data, a digest nor a URI."""
    return source not in (DEMO, DEMO_CLASSIFY) and not source.startswith(("/", "sha256:")) and "://" not in source


def _filter(name: str) -> dict[str, Any]:
    """Only what bears this name."""
    named = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return {"page_size": 1, "filter": json.dumps({"predicates": [named]})}


def _called(found: Sequence[Any] | None) -> Any:
    return found[0] if found else None


def _connect() -> Client:
    """A client of a Kubeflow that has answered: its own would ask for half a minute and print tracebacks."""
    host, token = os.environ.get("KFP_HOST", "").rstrip("/"), os.environ.get("KFP_TOKEN")
    if not host.startswith(("http://", "https://")):
        raise UsageError(
            f"KFP_HOST={host}: is no URL; set it to that of Kubeflow Pipelines, as in https://kubeflow.example"
        )
    asked = urllib.request.Request(f"{host}/apis/v2beta1/healthz")
    if token:
        asked.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
            json.load(answer)
    except urllib.error.HTTPError as error:
        raise _refused(error.code) from None
    except ValueError:  # a login page, or some other server
        raise ServiceError(
            f"KFP_HOST={host}: answers, but not as Kubeflow Pipelines; set KFP_TOKEN, or another URL"
        ) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ServiceError(f"KFP_HOST={host}: cannot be reached ({reason}); start it, or set another URL") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions of Kubeflow that are long gone
        from kfp import Client

        return Client(host=host, existing_token=token)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise _refused(error.status, error.body) from None
    except HTTPError as error:
        raise ServiceError(
            f"KFP_HOST={os.environ['KFP_HOST']}: was lost ({error}); run the same command again"
        ) from None


def _refused(status: int, body: str | None = None) -> ServiceError:
    if status in (401, 403):
        remedy = "is missing" if not os.environ.get("KFP_TOKEN") else "is expired or lacks the right"
        return ServiceError(f"KFP_HOST={os.environ['KFP_HOST']}: answers {status}; KFP_TOKEN {remedy}: set a new one")
    try:
        reason = json.loads(body or "")["message"]
    except (ValueError, KeyError, TypeError):
        reason = "see its log"
    return ServiceError(f"KFP_HOST={os.environ['KFP_HOST']}: answers {status} ({' '.join(reason.split())[:300]})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
