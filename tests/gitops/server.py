"""A git server as promotions meet it: git's own `http-backend` behind HTTP, which asks for a token."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN, READER = "t0ken", "read-0nly"
FILE = "manifests/overlays/cpu/model.env"
ENV = "# which model serves\ndigest=\n"
AUTHOR = ("-c", "user.name=A developer", "-c", "user.email=developer@example.com")


def git(folder: Path, *words: str) -> str:
    """Run git in a folder; returns what it said."""
    done = subprocess.run(["git", *AUTHOR, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass
class GitServer:
    """bare: the repository that it serves. before_push: what happens when a push begins, before the server sees it."""

    bare: Path
    url: str
    before_push: list[Callable[[], None]] = field(default_factory=list)

    def head(self, branch: str = "main") -> str:
        return git(self.bare, "rev-parse", branch)

    def show(self, path: str, branch: str = "main") -> str:
        return git(self.bare, "show", f"{branch}:{path}")

    def commit(self, work: Path, files: dict[str, str]) -> str:
        """Push a developer's commit of these files, from a clone at `work` that is made at the first call."""
        if work.exists():
            git(work, "pull", "-q", "origin", "main")
        else:
            git(work.parent, "clone", "-q", str(self.bare), work.name)
        for path, text in files.items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        git(work, "add", "--all")
        git(work, "commit", "-q", "-m", "a change")
        git(work, "push", "-q", "origin", "HEAD:main")
        return self.head()


def serve(tmp_path: Path) -> Iterator[GitServer]:
    """A repository with one branch, main, that names no model yet."""
    bare = tmp_path / "server" / "repository.git"
    bare.mkdir(parents=True)
    git(bare, "init", "-q", "--bare", "--initial-branch=main")
    git(bare, "config", "http.receivepack", "true")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    served = GitServer(bare, f"http://127.0.0.1:{server.server_port}/repository.git")
    server.served = served  # type: ignore[attr-defined]
    served.commit(tmp_path / "developer", {FILE: ENV, "params.yaml": "train: {epochs: 1}\n"})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Common Gateway Interface (RFC 3875), as much of it as git's backend needs."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        served: GitServer = self.server.served  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        _, _, given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).partition(b":")
        path, _, query = self.path.partition("?")
        pushes = "git-receive-pack" in self.path
        if pushes and given.decode() != TOKEN:
            status = 403 if given.decode() == READER else 401
            self._answer(status, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        if path.endswith("git-receive-pack") and served.before_push:
            served.before_push.pop(0)()
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(served.bare.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "bot",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=variables, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [(name, value.strip()) for name, _, value in (h.partition(":") for h in head.decode().split("\r\n"))]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self._answer(status, [header for header in headers if header[0] != "Status"], content)

    def do_POST(self) -> None:
        self.do_GET()

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...
