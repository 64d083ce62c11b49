"""The object store, in a folder and on an S3 server: what goes in comes out, once and whole, or one line says why."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yolocore.errors import DataError, ServiceError, StorageError, UsageError
from yolocore.store import ObjectStore, bytes_digest, configured, tree_digest

TREE = {"manifest.json": b"{}", "shards/1": b"one" * 100_000, "shards/2": b"two" * 100_000, "shards/3": b""}


def write(folder, tree):
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Raw:
    """Looks at a store from outside: objects by key, without the store's own code."""

    def __init__(self, store):
        self.folder = None if store.place.startswith("s3://") else Path(store.place)
        if self.folder is None:
            bucket, _, self.prefix = store.place.removeprefix("s3://").partition("/")
            self.bucket = boto3.resource("s3", region_name="us-east-1").Bucket(bucket)

    def keys(self):
        """Each key, and when it was last written."""
        if self.folder:
            files = (p for p in self.folder.rglob("*") if p.is_file())
            return {p.relative_to(self.folder).as_posix(): p.stat().st_mtime_ns for p in files}
        objects = self.bucket.objects.filter(Prefix=self.prefix)
        return {o.key.removeprefix(self.prefix + "/"): o.last_modified for o in objects}

    def content(self, key):
        if self.folder:
            return (self.folder / key).read_bytes()
        return self.bucket.Object(f"{self.prefix}/{key}").get()["Body"].read()

    def write(self, key, content):
        if self.folder:
            write(self.folder, {key: content})
        else:
            self.bucket.put_object(Key=f"{self.prefix}/{key}", Body=content)

    def remove(self, key):
        if self.folder:
            (self.folder / key).unlink()
        else:
            self.bucket.Object(f"{self.prefix}/{key}").delete()


def key(digest):
    hexadecimal = digest.removeprefix("sha256:")
    return f"objects/{hexadecimal[:2]}/{hexadecimal}"


@pytest.fixture
def raw(store):
    return Raw(store)


# --- folders in and out -----------------------------------------------------------------------------------------

names = st.lists(st.text("abä .", min_size=1, max_size=4).map(lambda text: f"n{text}n"), min_size=1, max_size=3)
trees = st.dictionaries(names.map("/".join), st.sampled_from([b"", b"1", b"2", bytes(3_000_000)]), max_size=8)


def is_tree(tree):
    """Whether no file has the name of a folder."""
    return not any(other.startswith(f"{name}/") for name in tree for other in tree)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees.filter(is_tree), trees.filter(is_tree))
def test_what_goes_in_comes_out_whatever_lay_there(store, raw, tree, before):
    with tempfile.TemporaryDirectory() as folder:
        source, target = write(Path(folder, "source"), tree), write(Path(folder, "target"), before)
        source.mkdir(exist_ok=True)
        digest = store.push(source)
        assert digest == tree_digest(source)
        assert bytes_digest(raw.content(key(digest))) == digest
        store.pull(digest, target)
        assert read(target) == tree
        assert {path.name for path in Path(folder).iterdir()} == {"source", "target"}


def test_the_same_again_writes_nothing_and_a_change_writes_itself(store, raw, tmp_path):
    folder = write(tmp_path / "data", TREE)
    old = store.push(folder)
    written = raw.keys()
    assert set(written) == {key(old), *(key(bytes_digest(content)) for content in TREE.values())}
    assert store.push(folder) == old and raw.keys() == written
    changed = write(folder, {"shards/2": b"changed", "copy": TREE["shards/1"]})
    new = store.push(changed)
    assert set(raw.keys()) - set(written) == {key(new), key(bytes_digest(b"changed"))}
    assert raw.keys().items() >= written.items()


def test_what_is_there_is_not_fetched(store, raw, tmp_path):
    """Of all that the old folder has, the store has nothing any more."""
    folder = write(tmp_path / "data", TREE)
    store.push(folder)
    target = write(tmp_path / "target", TREE)
    new = store.push(write(folder, {"shards/2": b"changed", "moved": TREE["shards/1"]}))
    for content in TREE.values():
        raw.remove(key(bytes_digest(content)))
    store.pull(new, target)
    assert tree_digest(target) == new
    inode = target.stat().st_ino
    store.pull(new, target)
    assert target.stat().st_ino == inode, "what is the same already was replaced"


def test_parts_of_a_folder(store, tmp_path):
    folder = write(tmp_path / "data", TREE)
    store.pull(store.push(folder, ["manifest.json", "shards"]), tmp_path / "both")
    store.pull(store.push(folder, ["shards/1"]), tmp_path / "one")
    assert read(tmp_path / "both") == TREE
    assert read(tmp_path / "one") == {"shards/1": TREE["shards/1"]}


def test_links_are_followed(store, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "disk").symlink_to(write(tmp_path / "other", TREE))
    digest = store.push(tmp_path / "data")
    store.pull(digest, tmp_path / "target")
    assert digest == tree_digest(tmp_path / "target")


@pytest.mark.parametrize("moment", [1, 3, 4])
def test_a_crash_in_the_middle_leaves_no_index(store, raw, tmp_path, moment):
    folder = write(tmp_path / "data", TREE)
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from yolocore.progress import Silent
        from yolocore.store import configured
        class Countdown(Silent):
            left = {moment}
            def advance(self, n=1, **figures):
                self.left -= n
                if not self.left:
                    os.kill(os.getpid(), signal.SIGKILL)
        configured().push(Path({str(folder)!r}), listener=Countdown())
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = raw.keys()
    assert len([name for name in left if not name.endswith(".tmp")]) >= moment
    for name in left:
        assert name.endswith(".tmp") or key(bytes_digest(raw.content(name))) == name
    with pytest.raises(DataError, match="has no object"):
        store.pull(tree_digest(folder), tmp_path / "target")
    store.pull(store.push(folder), tmp_path / "target")
    assert read(tmp_path / "target") == TREE
    assert raw.keys().items() >= left.items(), "what was whole was written again"


# --- what can be wrong ------------------------------------------------------------------------------------------

DAMAGES = [
    pytest.param("shards/1", b"other", "is damaged; delete it and run the step", id="other bytes"),
    pytest.param("shards/1", TREE["shards/1"][:-1], "is damaged", id="cut short"),
    pytest.param("shards/1", None, "has no object sha256:", id="a file is gone"),
    pytest.param("", b"{}", "is damaged", id="another index"),
    pytest.param("", None, "has no object sha256:", id="the index is gone"),
]


@pytest.mark.parametrize(("name", "content", "words"), DAMAGES)
def test_damage_is_found_and_changes_nothing(store, raw, tmp_path, name, content, words):
    digest = store.push(write(tmp_path / "data", TREE))
    assert store.holds(digest)
    damaged = key(bytes_digest(TREE[name]) if name else digest)
    if content is None:
        raw.remove(damaged)
    else:
        raw.write(damaged, content)
    assert store.holds(digest) == bool(name and content), "it looks for files, and into the index alone"
    write(tmp_path / "target", {"old": b"old"})
    with pytest.raises(DataError, match=words) as caught:
        store.pull(digest, tmp_path / "target")
    assert f"YOLO_STORE={store.place}" in str(caught.value) and "\n" not in str(caught.value)
    assert read(tmp_path / "target") == {"old": b"old"}
    assert {p.name for p in tmp_path.iterdir()} <= {"data", "target", "store"}
    if content is not None:
        raw.remove(damaged)  # as the message says
    store.pull(store.push(tmp_path / "data"), tmp_path / "target")
    assert read(tmp_path / "target") == TREE


@pytest.mark.parametrize("digest", ["", "sha256:12", "latest", f"sha256:{'../' * 22}", f"md5:{'a' * 64}"])
def test_what_is_no_digest(store, tmp_path, digest):
    with pytest.raises(DataError, match="is no digest; give sha256:"):
        store.pull(digest, tmp_path / "target")


INDEXES = [
    pytest.param(b"\x89PNG", id="a picture"),
    pytest.param(b"[1]", id="another JSON"),
    pytest.param(b'{"a": 1}', id="no digests"),
    pytest.param(b'{"a": "sha256:1"}', id="half a digest"),
    pytest.param(json.dumps({"../evil": bytes_digest(b"")}).encode(), id="leads outside"),
    pytest.param(json.dumps({"/evil": bytes_digest(b"")}).encode(), id="absolute"),
    pytest.param(json.dumps({"": bytes_digest(b"")}).encode(), id="no name"),
]


@pytest.mark.parametrize("content", INDEXES)
def test_what_is_no_index(store, raw, tmp_path, content):
    raw.write(key(bytes_digest(content)), content)
    with pytest.raises(DataError, match="is no folder"):
        store.pull(bytes_digest(content), tmp_path / "target")
    assert not (tmp_path / "target").exists() and not (tmp_path / "evil").exists()


@contextmanager
def answering(status, code):
    """A server that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


CALLS = [
    pytest.param(lambda store, folder: store.push(folder), id="push"),
    pytest.param(lambda store, folder: store.pull(f"sha256:{'0' * 64}", folder), id="pull"),
    pytest.param(lambda store, folder: store.put("a/b", "c"), id="put"),
    pytest.param(lambda store, folder: store.get("a/b"), id="get"),
    pytest.param(lambda store, folder: store.delete("a/b"), id="delete"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "code", "error", "words"),
    [
        pytest.param(None, "", ServiceError, "cannot be reached .*; check AWS_ENDPOINT_URL", id="nobody listens"),
        pytest.param(403, "AccessDenied", StorageError, "refused .*; check the bucket and the rights", id="denied"),
        pytest.param(507, "XMinioStorageFull", StorageError, "is full .*; free space there", id="full"),
    ],
)
def test_servers_that_refuse(monkeypatch, tmp_path, call, status, code, error, words):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with answering(status or 200, code) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address if status else "http://127.0.0.1:1")
        folder = write(tmp_path / "data", {"a": b"a"})
        with pytest.raises(error, match=words) as caught:
            call(ObjectStore("s3://bucket/prefix"), folder)
    assert str(caught.value).startswith("YOLO_STORE=s3://bucket/prefix: ") and "\n" not in str(caught.value)
    assert read(folder) == {"a": b"a"}


@pytest.mark.parametrize("call", CALLS)
def test_a_bucket_that_is_missing(s3_server, tmp_path, call):
    folder = write(tmp_path / "data", {"a": b"a"})
    with pytest.raises(StorageError, match=r"YOLO_STORE=s3://no-such-bucket: .*\(NoSuchBucket\); check the bucket"):
        call(ObjectStore("s3://no-such-bucket"), folder)


@pytest.mark.parametrize("address", ["minio:9000", "http://"])
def test_an_address_that_is_none(monkeypatch, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(UsageError, match=f"AWS_ENDPOINT_URL={address}: .*; give it as http://host:port"):
        ObjectStore("s3://bucket").get("a")


@pytest.mark.parametrize("call", [CALLS[0], CALLS[2]])
def test_a_disk_that_is_full(monkeypatch, tmp_path, call):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, store = write(tmp_path / "data", {"a": b"a"}), ObjectStore(str(tmp_path / "store"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=f"No space left .*choose another YOLO_STORE={tmp_path}/store"):
        call(store, folder)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


@pytest.mark.parametrize("place", ["gs://bucket", "s3://", "https://minio/bucket"])
def test_places_that_are_none(monkeypatch, place):
    monkeypatch.setenv("YOLO_STORE", place)
    with pytest.raises(UsageError, match=f"YOLO_STORE={place}.*: is no place .*; give s3://bucket/prefix or a folder"):
        configured()


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file; give a folder"):
        ObjectStore(str(tmp_path / "file"))


def test_a_file_that_changes_meanwhile_is_not_stored(tmp_path):
    """A bucket's server compares what arrives with the sum that comes with it; the tests' own server does not."""
    folder, store = write(tmp_path / "data", TREE), ObjectStore(str(tmp_path / "store"))

    class Meddler:
        def start(self, label, total):
            write(folder, {"shards/1": b"changed"})

        def advance(self, n=1, **figures): ...
        def epoch(self, number, row): ...
        def note(self, text): ...

    with pytest.raises(StorageError, match=f"YOLO_STORE={store.place}: .*shards/1 changed while it was stored"):
        store.push(folder, listener=Meddler())
    assert key(bytes_digest(TREE["shards/1"])) not in Raw(store).keys()  # noqa: SIM118 (a method of ours)
    with pytest.raises(DataError):
        store.pull(tree_digest(write(folder, TREE)), tmp_path / "target")


# --- pointers ---------------------------------------------------------------------------------------------------


def test_pointers_change(store):
    assert store.get("partial/1") is None
    store.put("partial/1", "first")
    store.put("partial/1", "second ä")
    store.put("partial/2", "")
    assert (store.get("partial/1"), store.get("partial/2")) == ("second ä", "")
    store.delete("partial/1")
    store.delete("partial/1")
    assert store.get("partial/1") is None


def test_no_store_is_configured(monkeypatch):
    for value in (None, ""):
        monkeypatch.delenv("YOLO_STORE", raising=False)
        if value is not None:
            monkeypatch.setenv("YOLO_STORE", value)
        assert configured() is None
