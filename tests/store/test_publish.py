"""Publishing: whatever moment a crash takes, a reader finds the old state or the new one."""

import errno
import os
import subprocess
import sys

import pytest

from yolocore.errors import StorageError, UsageError
from yolocore.store import exclusive, recover, replace_folder, storage_errors, write_atomic


def folder(path, text):
    path.mkdir(parents=True)
    (path / "content").write_text(text)
    return path


def test_write_atomic_replaces_whole_files_and_leaves_nothing_beside_them(tmp_path):
    write_atomic(tmp_path / "a", "old")
    write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_write_atomic_names_the_path_that_cannot_be_written(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(errno.ENOSPC, StorageError, id="full disk"),
        pytest.param(errno.EROFS, StorageError, id="read-only file system"),
        pytest.param(errno.ENOENT, FileNotFoundError, id="a missing file is no storage problem"),
    ],
)
def test_only_refusals_to_write_become_storage_errors(tmp_path, code, expected):
    with pytest.raises(expected), storage_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_of_a_copy_the_target_is_named_that_could_not_be_written(tmp_path):
    """As shutil tells of a full disk: the source first."""
    with (
        pytest.raises(StorageError, match=r"^serving/model\.onnx: No space left .* choose another repository="),
        storage_errors(tmp_path, "repository="),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/serving.onnx", None, "serving/model.onnx")


def test_replace_folder(tmp_path):
    folder(tmp_path / "out", "old")
    replace_folder(folder(tmp_path / "new", "new"), tmp_path / "out")
    assert (tmp_path / "out" / "content").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("crash_after", "expected"),
    [
        pytest.param(1, "old", id="old one set aside, new one not yet there"),
        pytest.param(2, "new", id="new one there, old one not yet deleted"),
    ],
)
def test_a_crash_between_the_renames_is_recovered(tmp_path, crash_after, expected):
    out, new = folder(tmp_path / "out", "old"), folder(tmp_path / "new", "new")
    retired = tmp_path / ".out.old"
    out.rename(retired)
    if crash_after == 2:
        new.rename(out)
    recover(out)
    assert (out / "content").read_text() == expected
    assert not retired.exists()


def test_a_second_writer_is_refused_until_the_first_is_gone_however_it_went(tmp_path):
    out = tmp_path / "out"
    program = f"""
import signal
from pathlib import Path
from yolocore.store import exclusive
with exclusive(Path({str(out)!r})):
    print("held", flush=True)
    signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another process"), exclusive(out):
            pass
        holder.kill()
    with exclusive(out):
        pass
