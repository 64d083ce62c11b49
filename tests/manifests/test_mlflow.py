"""MLflow is reached by the names that the manifests and the documents use, and by no others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.manifests.conftest import Document, label

security = pytest.importorskip("mlflow.server.security_utils")

HOSTS = [
    ("mlflow:5000", True),
    ("mlflow.yolocore.svc:5000", True),
    ("mlflow.yolocore.svc.cluster.local:5000", True),
    ("127.0.0.1:5000", True),  # a forwarded port
    ("localhost:15000", True),
    ("mlflow.yolocore.svc.example.com:5000", False),
    ("127.0.0.1.example.com:5000", False),
    ("mlflow", False),
]


@pytest.fixture(scope="module")
def allowed(rendered: Mapping[str, list[Document]]) -> list[str]:
    """The hosts as MLflow takes them from its argument."""
    (server,) = (d for d in rendered["overlays/cpu"] if label(d) == "Deployment/mlflow")
    args = server["spec"]["template"]["spec"]["containers"][0]["args"]
    (hosts,) = (arg.removeprefix("--allowed-hosts=") for arg in args if arg.startswith("--allowed-hosts="))
    return list(hosts.split(","))


@pytest.mark.parametrize(("host", "taken"), HOSTS)
def test_hosts(allowed: list[str], host: str, taken: bool) -> None:
    assert security.is_allowed_host_header(allowed, host) == taken


@pytest.mark.parametrize("name", ["overlays/local", "overlays/cpu", "overlays/gpu", "candidate"])
def test_everybody_who_is_told_of_it_is_let_in(
    rendered: Mapping[str, list[Document]], allowed: list[str], name
) -> None:
    told = {d["data"]["MLFLOW_TRACKING_URI"] for d in rendered[name] if "MLFLOW_TRACKING_URI" in d.get("data", {})}
    assert told
    assert all(security.is_allowed_host_header(allowed, uri.removeprefix("http://")) for uri in told)
