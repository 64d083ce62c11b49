"""Sources from elsewhere: archives, web servers and buckets; the good ones arrive whole, the bad ones are named."""

import contextlib
import io
import socket
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

from yolocore.data import download
from yolocore.data.fetch import fetched, identity
from yolocore.errors import DataError, ServiceError, StorageError, UsageError
from yolocore.store import tree_digest

CONTENT = {"set/dataset.yaml": b"names: [a]\n", "set/images/a.jpg": bytes(range(256)) * 40_000}


def zipped(content=CONTENT) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def tarred(mode: str = "w", content=CONTENT, member: tarfile.TarInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if member:
            archive.addfile(member)
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def zipped_link() -> bytes:
    info = zipfile.ZipInfo("set/link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def arrives(source: str, work: Path) -> None:
    """The source is fetched whole, and nothing of it stays."""
    with fetched(source, work) as folder:
        assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == CONTENT
    assert list(work.iterdir()) == []


# --- archives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", zipped()),
        ("A.ZIP", zipped()),
        ("a.tar", tarred()),
        ("a.tar.gz", tarred("w:gz")),
        ("a.tgz", tarred("w:gz")),
    ],
    ids=["zip", "ZIP", "tar", "tar.gz", "tgz"],
)
def test_archives_arrive(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "work").mkdir()
    arrives(str(tmp_path / name), tmp_path / "work")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.zip", zipped({"../evil": b""}), "'../evil' leads outside"),
        ("a.zip", zipped({"a/../../evil": b""}), "leads outside"),
        ("a.zip", zipped({"/evil": b""}), "'/evil' leads outside"),
        ("a.zip", zipped({"..\\evil": b""}), "leads outside"),
        ("a.zip", zipped_link(), "'set/link' is a link"),
        ("a.tar", tarred(content={"../evil": b""}), "'../evil' leads outside"),
        ("a.tar", tarred(member=link("set/link", "/etc")), "'set/link' is a link"),
        ("a.zip", zipped()[:-100], "the archive is damaged"),
        ("a.zip", b"<html>", "the archive is damaged"),
        ("a.tar.gz", tarred("w:gz")[:-100], "the archive is damaged"),
        ("a.tar", b"<html>" * 1000, "the archive is damaged"),
        ("a.rar", b"Rar!", "is no folder, dataset.yaml or archive"),
    ],
    ids=[
        "zip: up", "zip: hidden up", "zip: absolute", "zip: backslash", "zip: link", "tar: up", "tar: link",
        "zip cut short", "zip of HTML", "tar.gz cut short", "tar of HTML", "another archive",
    ],
)  # fmt: skip
def test_bad_archives(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "work").mkdir()
    with pytest.raises(DataError, match=words), fetched(str(tmp_path / name), tmp_path / "work"):
        pass
    assert {p.name for p in tmp_path.iterdir()} == {name, "work"}
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    "call", [identity, lambda source: fetched(source, Path()).__enter__()], ids=["identity", "fetch"]
)
@pytest.mark.parametrize(
    ("source", "words"),
    [("nowhere", "source=nowhere: no such file"), ("ftp://a/b.zip", "ftp:// is not supported")],
)
def test_what_is_not_there(call, source, words):
    with pytest.raises(DataError, match=words):
        call(source)


def test_the_identity_of_a_folder_is_its_content(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "dataset.yaml").write_text("names: [a]")
        (tmp_path / name / "images" / "a.jpg").write_bytes(b"1")
    assert identity(str(tmp_path / "one")) == identity(str(tmp_path / "two"))
    by_yaml = [identity(str(tmp_path / name / "dataset.yaml")) for name in ("one", "two")]
    assert by_yaml[0] == by_yaml[1]
    (tmp_path / "two" / "images" / "a.jpg").write_bytes(b"2")
    assert identity(str(tmp_path / "one")) != identity(str(tmp_path / "two"))
    assert identity(str(tmp_path / "two" / "dataset.yaml")) != by_yaml[1]


# --- web servers ----------------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves one archive. breaks: how many answers end in the middle."""

    content = zipped()
    etag: str | None = '"1"'
    ranges = True
    breaks = 0
    offsets: list[int]

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.offsets = []
        self.url = f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server = self.server
        if not self.path.startswith("/set.zip"):
            self.send_error(503 if "busy" in self.path else 404)
            return
        offset = 0
        if server.ranges and "Range" in self.headers and self.headers["If-Range"] == server.etag:
            offset = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        identity_asked = not server.offsets  # by the first request, and told before the next may come
        server.offsets.append(offset)
        body = server.content[offset:]
        self.send_response(206 if offset else 200)
        self.send_header("Content-Length", str(len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        if server.breaks and not identity_asked:
            server.breaks -= 1
            body = body[: len(body) // 2]
        with contextlib.suppress(ConnectionError):  # the client may want only the head
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PAUSES", (0, 0, 0, 0))
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("etag", "ranges", "breaks", "resumed"),
    [
        pytest.param('"1"', True, 0, False, id="at once"),
        pytest.param('"1"', True, 3, True, id="resumed after breaks"),
        pytest.param('"1"', False, 2, False, id="begun again where the server can't resume"),
        pytest.param(None, True, 2, False, id="begun again where it may be another file"),
    ],
)
def test_downloads_arrive(server, tmp_path, etag, ranges, breaks, resumed):
    server.etag, server.ranges, server.breaks = etag, ranges, breaks
    identity(server.url)
    arrives(server.url + "?token=1", tmp_path)
    assert len(server.offsets) == 2 + breaks
    assert (max(server.offsets) > 0) == resumed


def test_a_download_that_never_ends_well(server, tmp_path):
    server.breaks = 1000
    server.ranges = False
    identity(server.url)
    with pytest.raises(ServiceError, match="broke off"), fetched(server.url, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("etag", ['"1"', None], ids=["by its tag", "by its bytes"])
def test_the_identity_of_a_url(server, etag):
    server.etag = etag
    first = identity(server.url)
    assert identity(server.url) == first
    server.content, server.etag = zipped({"other": b""}), etag and '"2"'
    assert identity(server.url) != first


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("http://127.0.0.1:{free}/set.zip", ServiceError, "cannot be reached .*refused"),
        ("http://no.such.host.invalid/set.zip", ServiceError, "cannot be reached"),
        ("http://127.0.0.1:{port}/gone.zip", DataError, r"is not there \(HTTP 404\)"),
        ("http://127.0.0.1:{port}/busy.zip", ServiceError, "the server refused .HTTP 503"),
        ("s3://bucket/set", ServiceError, "cannot be reached"),
    ],
    ids=["nobody listens", "no such host", "not there", "server busy", "no S3 server"],
)
def test_unreachable_sources(server, url, error, words, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    url = url.format(port=server.server_port, free=free_port())
    with pytest.raises(error, match=words) as caught:
        identity(url)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_a_url_that_is_no_archive(server, tmp_path):
    with pytest.raises(DataError, match="is no archive"), fetched(server.url.removesuffix(".zip"), tmp_path):
        pass


# --- buckets --------------------------------------------------------------------------------------------------


@pytest.fixture
def s3(s3_server):
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="data")
    for name, content in CONTENT.items():
        client.put_object(Bucket="data", Key=f"v1/{name}", Body=content)
    client.put_object(Bucket="data", Key="v10/other", Body=b"not asked for")
    client.put_object(Bucket="data", Key="set.zip", Body=zipped())
    return client


@pytest.mark.parametrize("uri", ["s3://data/v1", "s3://data/v1/", "s3://data/set.zip"])
def test_buckets_arrive(s3, tmp_path, uri):
    arrives(uri, tmp_path)


def test_the_identity_of_a_prefix(s3):
    first = identity("s3://data/v1")
    s3.put_object(Bucket="data", Key="v10/other", Body=b"changed")
    assert identity("s3://data/v1/") == first
    s3.put_object(Bucket="data", Key="v1/more", Body=b"")
    assert identity("s3://data/v1") != first
    s3.delete_object(Bucket="data", Key="v1/more")


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("s3://no-such-bucket/v1", StorageError, "NoSuchBucket"),
        ("s3://data/v2", DataError, "nothing of that name"),
        ("s3://data/evil", DataError, "leads outside"),
    ],
    ids=["no bucket", "nothing there", "an object that leads outside"],
)
def test_bad_buckets(s3, tmp_path, uri, error, words):
    s3.put_object(Bucket="data", Key="evil/../../x", Body=b"")
    with pytest.raises(error, match=words) as caught, fetched(uri, tmp_path):
        pass
    assert uri in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_without_credentials(s3, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        identity("s3://data/v1")


def test_a_folder_of_the_object_store_arrives_by_its_digest(store, tmp_path):
    for name, content in CONTENT.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(content)
    digest = store.push(tmp_path / "source")
    assert identity(digest) == digest == tree_digest(tmp_path / "source")
    arrives(digest, tmp_path / "work")


def test_a_digest_that_does_not_exist_is_named(store, tmp_path):
    digest = "sha256:" + "0" * 64
    with pytest.raises(DataError, match=f"has no object {digest}"), fetched(digest, tmp_path):
        pass


def test_a_digest_without_an_object_store(tmp_path, monkeypatch):
    monkeypatch.delenv("YOLO_STORE", raising=False)
    with pytest.raises(UsageError, match="YOLO_STORE names no object store"), fetched("sha256:" + "0" * 64, tmp_path):
        pass


def test_an_empty_source_is_not_the_folder_that_we_are_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^source=: no such file or folder; give one"):
        identity("")
