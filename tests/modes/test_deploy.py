"""The promotion chain against a real server and a real registry: each way through it, and each way out."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import free_endpoint
from tests.runtimes.bright import encoded, picture
from tests.serve.finder import INFO, write_dataset, write_export
from yolocore.config import DeployConfig
from yolocore.errors import DataError, ModelError, RefusedError, ServiceError, UsageError
from yolocore.lineage import registry
from yolocore.modes import deploy as mode
from yolocore.modes.deploy import deploy, rollback
from yolocore.modes.inputs import DeployInputs
from yolocore.records import FILE_NAME, DeployRecord, ExportRecord
from yolocore.runtimes.triton import served_digest
from yolocore.serve import repository as models
from yolocore.serve.server import Endpoint, running
from yolocore.store import tree_digest


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Folders of two exports that find the same by different bytes, one that is worse, and a dataset."""
    folder = tmp_path_factory.mktemp("material")
    write_dataset(folder / "data")
    write_export(folder / "first")
    write_export(folder / "second", shift=0.01)
    write_export(folder / "worse", shift=2.0)
    shutil.copytree(folder / "first", folder / "broken")
    (folder / "broken" / "serving.onnx").write_bytes(b"nonsense")
    shutil.copytree(folder / "first", folder / "pose")
    poses = ExportRecord.load(folder / "first").model_copy(update={"task": "pose"})
    (folder / "pose" / FILE_NAME).write_text(poses.to_json())
    return folder


@pytest.fixture
def site(tmp_path, database, material, serving):
    """Everything around one deployed name, in the server that runs: its deployments, and what it serves."""
    return Site(tmp_path, material, serving.repository, serving.endpoint, f"name-{abs(hash(tmp_path)) % 10**8}")


class Site:
    def __init__(self, folder: Path, material: Path, repository: Path, endpoint: Endpoint, name: str) -> None:
        self.folder, self.material, self.repository = folder, material, repository
        self.endpoint, self.name = endpoint, name

    def request(self, export: str, **settings) -> tuple[DeployConfig, DeployInputs, Path]:
        place = {"host": self.endpoint.host, "port": self.endpoint.port}
        inputs = DeployInputs(
            exported=str(self.material / export),
            data=str(self.material / "data" / "dataset.yaml"),
            repository=str(self.repository),
        )
        return DeployConfig(name=self.name, **{**place, **settings}), inputs, self.folder / "out"

    def deploy(self, export: str, **settings) -> DeployRecord:
        return deploy(*self.request(export, **settings))

    def served(self) -> str:
        return served_digest(self.endpoint.url(self.name))

    def digests(self) -> dict[str, str]:
        """What each alias of the registered model serves."""
        client = registry.registry()
        versions = {str(v.version): v.tags["digest"] for v in client.search_model_versions(f"name='{self.name}'")}
        return {alias: versions[v] for alias, v in registry.aliases(client, self.name).items()} if versions else {}

    def files(self) -> dict[str, bytes]:
        """What the repository holds of this name, to the byte."""
        paths = (p for p in self.repository.glob(f"{self.name}*/**/*") if p.is_file())
        return {p.relative_to(self.repository).as_posix(): p.read_bytes() for p in paths}


def test_first_deployment_serves(site):
    record = site.deploy("first")
    assert site.served() == record.served_digest
    assert site.digests() == {"champion": record.served_digest}
    assert record.metrics["map50_95"] == record.metrics["exported_map50_95"] == 1.0
    assert record.metrics["map50_95_drop"] == 0
    assert {key: record.metrics[key] for key in ("conf", "iou", "max_det")} == {"conf": 0.25, "iou": 0.7, "max_det": 5}
    assert set(record.timings) >= {"latency_p50_ms", "encoded_latency_p50_ms"}
    assert set(record.inputs) == {"model", "serving", "data"}


def test_another_server_finds_a_deployed_model_in_the_object_store(site, store, tmp_path):
    with pytest.raises(RefusedError):
        site.deploy("worse")
    record = site.deploy("first")
    folder = tmp_path / "elsewhere" / models.entry_name(site.name, record.served_digest)
    store.pull(record.served_digest, folder)
    assert tree_digest(folder) == record.served_digest
    assert (folder / "1" / "model.onnx").read_bytes() == (site.material / "first" / "serving.onnx").read_bytes()


def test_record_says_nothing_of_the_machine(site, serving):
    record = site.deploy("first")
    text = record.canonical().decode() + (site.folder / "out" / "endpoint.json").read_text()
    for secret in (str(site.repository), str(site.folder), str(site.endpoint.port), "127.0.0.1"):
        assert secret not in text


def test_same_deployment_does_nothing(site):
    record = site.deploy("first")
    before = site.files()
    assert site.deploy("first") == record
    assert site.files() == before


def test_deployment_that_was_rolled_back_runs_again_when_asked(site):
    first = site.deploy("first").served_digest
    second = site.deploy("second").served_digest
    rollback(site.name, site.repository, site.endpoint)
    assert site.served() == first
    site.deploy("second")
    assert site.served() == second
    assert site.digests() == {"champion": second, "previous": first}


def test_next_deployment_leaves_the_last_one_to_go_back_to(site, serving):
    first = site.deploy("first").served_digest
    second = site.deploy("second").served_digest
    assert first != second
    assert site.served() == second
    assert site.digests() == {"champion": second, "previous": first}
    assert not serving.control.ready(models.entry_name(site.name, first))  # its memory is given back
    for serves, waits in ((first, second), (second, first)):
        rollback(site.name, site.repository, site.endpoint)
        assert site.served() == serves
        assert site.digests() == {"champion": serves, "previous": waits}


def test_rollback_without_a_server_shows_when_one_starts(site):
    first = site.deploy("first").served_digest
    site.deploy("second")
    rollback(site.name, site.repository, free_endpoint())
    assert models.pointer_of(site.repository, site.name).digest == first
    assert site.digests()["champion"] == first


@pytest.mark.parametrize("deployments", [0, 1])
def test_rollback_needs_something_to_go_back_to(site, deployments):
    for export in ["first"][:deployments]:
        site.deploy(export)
    with pytest.raises(UsageError, match="has no previous model to go back to"):
        rollback(site.name, site.repository, site.endpoint)


def test_rollback_that_is_cut_off_completes(site, monkeypatch):
    first = site.deploy("first").served_digest
    second = site.deploy("second").served_digest
    with monkeypatch.context() as patch:
        patch.setattr(registry, "promote", interrupt)
        with pytest.raises(KeyboardInterrupt):
            rollback(site.name, site.repository, site.endpoint)
    rollback(site.name, site.repository, site.endpoint)
    assert site.served() == first
    assert site.digests() == {"champion": first, "previous": second}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def unreachable(*_: object) -> None:
    raise ServiceError("MLflow at here: registry refuses (gone)")


def occupied(site: Site, patch: pytest.MonkeyPatch) -> dict[str, object]:
    listener = socket.create_server(("127.0.0.1", 0))
    patch.setattr(site, "listener", listener, raising=False)  # closed with the test
    return {"port": listener.getsockname()[1]}


def no_mlflow(site: Site, patch: pytest.MonkeyPatch) -> dict[str, object]:
    patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    return {}


def promotion_fails(site: Site, patch: pytest.MonkeyPatch) -> dict[str, object]:
    patch.setattr(registry, "promote", unreachable)
    return {}


def stops_before(name: str):
    def prepare(site: Site, patch: pytest.MonkeyPatch) -> dict[str, object]:
        patch.setattr(mode, name, interrupt)
        return {}

    return prepare


def nothing(site: Site, patch: pytest.MonkeyPatch) -> dict[str, object]:
    return {}


@pytest.mark.parametrize(
    ("export", "prepare", "error", "reason"),
    [
        pytest.param("absent", nothing, DataError, r"holds no record\.json", id="no export"),
        pytest.param("pose", nothing, ModelError, "is a model for pose; only models for detect", id="another task"),
        pytest.param("broken", nothing, ModelError, "cannot be loaded", id="broken ONNX"),
        pytest.param("worse", nothing, RefusedError, r"max_map_drop=0\.01", id="worse through the server"),
        pytest.param("second", occupied, ServiceError, "choose another port=", id="port occupied"),
        pytest.param("second", no_mlflow, ServiceError, "MLflow at http", id="MLflow unreachable"),
        pytest.param("second", promotion_fails, ServiceError, "registry refuses", id="MLflow gone at the end"),
        pytest.param("second", stops_before("_measure"), KeyboardInterrupt, None, id="interrupted while verifying"),
        pytest.param("second", stops_before("_check_name"), KeyboardInterrupt, None, id="interrupted after the swap"),
    ],
)
def test_failure_leaves_what_was(site, monkeypatch, export, prepare, error, reason):
    first = site.deploy("first").served_digest
    files, aliases = site.files(), site.digests()
    with monkeypatch.context() as patch:
        settings = prepare(site, patch)
        with pytest.raises(error, match=reason) as caught:
            site.deploy(export, **settings)
    assert "\n" not in str(caught.value)
    assert site.files() == files
    assert site.digests() == aliases
    assert site.served() == first
    assert DeployRecord.load(site.folder / "out").served_digest == first


@pytest.mark.parametrize("step", ["_measure", "_check_name"])
def test_first_deployment_that_fails_leaves_nothing(site, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(mode, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            site.deploy("first")
    assert site.files() == {}
    assert site.digests() == {}
    assert not (site.folder / "out").exists()
    with pytest.raises(ServiceError, match=r"no available versions|not found"):
        site.served()


def test_split_without_objects_verifies_nothing(site, tmp_path):
    shutil.copytree(site.material / "data", tmp_path / "empty")
    for label in (tmp_path / "empty" / "labels" / "val").glob("*.txt"):
        label.write_text("")
    config, inputs, out = site.request("first")
    inputs = inputs.model_copy(update={"data": str(tmp_path / "empty" / "dataset.yaml")})
    with pytest.raises(DataError, match="no labelled objects"):
        deploy(config, inputs, out)


def test_client_that_comes_with_the_endpoint_works(site, tmp_path):
    site.deploy("first")
    (tmp_path / "green.png").write_bytes(encoded(picture((48, 64), (3, 5, 30, 40), green=True)))
    command = [sys.executable, tmp_path / "out" / "client.py", site.endpoint.address, tmp_path / "green.png"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said[1:] == ["green", "0.90", "3.0", "5.0", "30.0", "40.0"]
    endpoint = json.loads((tmp_path / "out" / "endpoint.json").read_text())
    assert endpoint["digest"] == site.served()
    assert set(endpoint["models"]) == {site.name, f"{site.name}-jpeg"}
    assert endpoint["serving"] == INFO.model_dump(mode="json")


@pytest.mark.slow
def test_deployment_brings_its_own_server_and_takes_it_away(site, tmp_path):
    site.repository, site.endpoint = tmp_path / "own", free_endpoint()
    for export in ("first", "second"):
        record = site.deploy(export)
    with running(site.repository, site.endpoint, log=tmp_path / "log"):  # the ports are free again
        assert site.served() == record.served_digest
    assert (tmp_path / "out" / "triton.log").stat().st_size


TRANSITIONS = {
    "before the entry": "models.write_entry",
    "before it is candidate": "registry.nominate",
    "before the pointer": "models.point",
    "before the server follows": "Control.load",  # the second time; the first loads the entry
    "before it is champion": "registry.promote",
    "before the record": "_describe",
}


@pytest.mark.slow
@pytest.mark.parametrize("target", TRANSITIONS.values(), ids=TRANSITIONS.keys())
def test_killed_between_transitions_it_completes(site, target):
    """SIGKILL at once, so that nothing is taken back; the champion serves, and the same command ends as it should."""
    first = site.deploy("first").served_digest
    config, inputs, out = site.request("second")
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from yolocore.config import DeployConfig
        from yolocore.lineage import registry
        from yolocore.modes import deploy as mode
        from yolocore.modes.inputs import DeployInputs
        from yolocore.serve.control import Control
        place, _, name = "mode.{target}".rpartition(".")
        place = eval(place.removeprefix("mode.") if "." in place else place, {{**vars(mode), "mode": mode}})
        real, calls = getattr(place, name), []
        def kill(*arguments, **options):
            calls.append(1)
            if {target!r} != "Control.load" or len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        setattr(place, name, kill)
        config = DeployConfig.model_validate_json({config.model_dump_json()!r})
        inputs = DeployInputs.model_validate_json({inputs.model_dump_json()!r})
        mode.deploy(config, inputs, Path({str(out)!r}))
    """)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert site.digests()["champion"] == first or target == "_describe"
    record = deploy(config, inputs, out)
    assert record.served_digest != first
    assert site.served() == record.served_digest
    assert site.digests() == {"champion": record.served_digest, "previous": first}
    assert sorted(p.name for p in out.parent.glob(".out*")) == [".out.lock"]
