"""Reaching a git repository over the network, as whom, and what can go wrong on the way."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yolocore.errors import ServiceError, UsageError

if TYPE_CHECKING:
    from dulwich.client import GitClient

_TIMEOUT = 20  # seconds that the server may be silent


@dataclass(frozen=True)
class Bot:
    """In whose name a promotion is committed, and what it shows the server."""

    name: str
    email: str
    user: str = ""
    token: str = ""

    @classmethod
    def of_environment(cls) -> Bot:
        """GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL; GIT_TOKEN, and GIT_USER where the server asks for one."""
        token = os.environ.get("GIT_TOKEN", "")
        return cls(
            name=os.environ.get("GIT_AUTHOR_NAME") or "yolocore",
            email=os.environ.get("GIT_AUTHOR_EMAIL") or "yolocore@localhost",
            user=os.environ.get("GIT_USER") or ("x-access-token" if token else ""),
            token=token,
        )

    @property
    def signature(self) -> bytes:
        return f"{self.name} <{self.email}>".encode()


def connect(url: str, bot: Bot) -> tuple[GitClient, str]:
    """A client and the path that it has to ask for. Raises UsageError for a URL that needs more than Python."""
    from dulwich.client import get_transport_and_path
    from dulwich.config import ConfigDict

    if urlsplit(url).scheme in ("ssh", "git+ssh") or re.match(r"[^/]+@[^/]+:", url):
        raise UsageError(f"url={url}: SSH needs a program that containers lack; give an https:// URL, and GIT_TOKEN")
    settings = ConfigDict()
    settings.set((b"http",), b"timeout", str(_TIMEOUT))
    user, token = bot.user or None, bot.token or None
    return get_transport_and_path(url, config=settings, username=user, password=token, quiet=True)


@contextlib.contextmanager
def errors(url: str, bot: Bot) -> Iterator[None]:
    """Say in our own errors what the server or the network did."""
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
    from urllib3.exceptions import HTTPError

    where = shown(url)
    try:
        yield
    except ServiceError as error:
        raise type(error)(f"{where}: {error}") from None
    except HTTPUnauthorized:
        raise _unauthorised(where, bot) from None
    except NotGitRepository:
        raise ServiceError(f"{where}: is no repository, or hidden from this token; correct url= or GIT_TOKEN") from None
    except HangupException as error:
        raise ServiceError(f"{where}: hung up ({_line(error)}); see whether it may be pushed to") from None
    except (GitProtocolError, HTTPError, OSError) as error:
        if str(error).startswith("unexpected http resp 403 "):  # dulwich keeps the status in its message alone
            raise _unauthorised(where, bot) from None
        reason = getattr(error, "reason", None) or error
        raise ServiceError(
            f"{where}: cannot be reached or refuses ({_line(reason)}); correct url=, or try later"
        ) from None


def _unauthorised(where: str, bot: Bot) -> ServiceError:
    remedy = "is expired, or may not write there: make a new one" if bot.token else "is missing: set it"
    return ServiceError(f"{where}: asks for another identity; GIT_TOKEN {remedy}")


def shown(url: str) -> str:
    """The URL without a password in it."""
    return re.sub(r"//[^/@]*@", "//", url)


def _line(error: BaseException) -> str:
    """What the error at the bottom says, without the connection's name before it."""
    while (inner := getattr(error, "reason", None) or error.__cause__) is not None:
        error = inner
    text = " ".join(str(error).split())
    return re.sub(r"^\S*\(.*?\): ", "", text)[:200] or type(error).__name__
