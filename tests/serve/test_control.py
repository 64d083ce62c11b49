"""The key to the server's control, which only the owner of its repository has."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from yolocore.errors import StorageError
from yolocore.serve.control import admin_key


def test_a_repository_has_one_key_for_its_owner_only(tmp_path: Path) -> None:
    key = admin_key(tmp_path / "a")
    assert len(key) >= 32
    assert admin_key(tmp_path / "a") == key != admin_key(tmp_path / "b")
    assert (tmp_path / "a" / ".admin-key").stat().st_mode & 0o777 == 0o600


def test_a_full_repository_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "open", full)
    said = f"{tmp_path / '.admin-key'}: No space left on device; free space or choose another repository="
    with pytest.raises(StorageError, match=re.escape(said)):
        admin_key(tmp_path)
