"""Events as event sources hand them to sensors, of hooks as git servers send them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

NOBODY = "0" * 40


def push(repository: Path, before: str, after: str, ref: str = "refs/heads/main") -> Any:
    """The event of a push, as Gitea and GitHub describe it: of each commit the files that it adds, changes, removes."""

    def git(*words: str) -> list[str]:
        done = subprocess.run(["git", "-C", repository, *words], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def described(commit: str) -> Any:
        changes: dict[str, list[str]] = {"A": [], "M": [], "D": []}
        for line in git("show", "--format=", "--name-status", "--no-renames", commit):
            kind, _, path = line.partition("\t")
            changes[kind].append(path)
        (message,) = git("show", "--no-patch", "--format=%s", commit)
        return {
            "id": commit,
            "message": message,
            "url": f"https://git.example.com/vision/yolocore/commit/{commit}",
            "author": {"name": "A developer", "email": "developer@example.com", "username": ""},
            "verification": None,
            "added": changes["A"],
            "modified": changes["M"],
            "removed": changes["D"],
        }

    gone = after == NOBODY
    commits = [] if gone else [described(commit) for commit in git("rev-list", after, f"^{before}")]
    body = {
        "ref": ref,
        "before": before,
        "after": after,
        "compare_url": f"https://git.example.com/vision/yolocore/compare/{before}...{after}",
        "commits": commits,
        "total_commits": len(commits),
        "head_commit": commits[0] if commits else None,
        "repository": {"id": 1, "name": "yolocore", "full_name": "vision/yolocore", "default_branch": "main"},
        "pusher": {"id": 2, "login": "developer"},
    }
    return {"header": {"Content-Type": ["application/json"], "X-Gitea-Event": ["push"]}, "body": body}


def put(key: str, source: str = "minio") -> Any:
    """The event of an object that was written, whose key S3 encodes as a URL does. source: minio, or sqs."""
    record = {
        "eventVersion": "2.0",
        "eventSource": f"{source}:s3",
        "eventTime": "2026-11-23T03:00:00.123Z",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "yolocore", "arn": "arn:aws:s3:::yolocore"},
            "object": {"key": key.replace("/", "%2F"), "size": 2, "eTag": "d41d8cd98f00b204e9800998ecf8427e"},
        },
    }
    return {"notification": [record]} if source == "minio" else {"messageId": "1", "body": {"Records": [record]}}


def offered(dataset: Any) -> Any:
    """The event of somebody who says that there is a new dataset."""
    return {"header": {"Content-Type": ["application/json"]}, "body": {"dataset": dataset}}


def tick(time: str) -> Any:
    """The event of a calendar, with Go's form of a time."""
    return {"eventTime": time, "userPayload": None, "metadata": None}
