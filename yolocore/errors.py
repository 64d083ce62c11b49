"""Errors that a user can act on, and the exit code each one ends the command with.

Every failure that the outside world can cause is one of these classes. Its message is a single line
that names the thing, the value and the remedy; the doors (command line, components) print that line
and exit with the class's code. Anything else that escapes is a bug of ours and exits with 70.
"""

from __future__ import annotations

EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h


class YoloError(Exception):
    """Base of all expected failures. `exit_code` is part of the public interface.

    transient: whether the very same command may succeed another time.
    """

    exit_code = 1
    transient = False


class UsageError(YoloError):
    """The request itself is wrong: an unknown key, a value out of its range, a mode that does not exist."""

    exit_code = 2


class DataError(YoloError):
    """An image, a label, a video or a dataset that is missing, broken or inconsistent."""

    exit_code = 3


class ModelError(YoloError):
    """A checkpoint or an exported model that is missing, broken, hostile, or of another kind."""

    exit_code = 4


class ServiceError(YoloError):
    """A server that is unreachable, refuses us, or whose port is taken."""

    exit_code = 5
    transient = True


class StorageError(YoloError):
    """A disk or bucket that is full, read-only or missing."""

    exit_code = 6
    transient = True


class RefusedError(YoloError):
    """A check of the promotion chain ran and said no: parity, gate or verification failed."""

    exit_code = 7


class PreemptedError(YoloError):
    """SIGTERM arrived, the state is saved: run the same command again to go on (EX_TEMPFAIL)."""

    exit_code = 75
    transient = True


def error_classes() -> list[type[YoloError]]:
    """The public classes in order of their exit codes, for generated documentation."""
    return sorted(YoloError.__subclasses__(), key=lambda cls: cls.exit_code)
