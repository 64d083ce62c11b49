"""What all who speak to S3 share: the client, and the errors.

Which server and which credentials, boto3 finds out itself: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, its configuration
files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from yolocore.errors import ServiceError, StorageError, UsageError

CONNECTIONS = 16  # S3 answers slowly and in parallel
CHUNK = 1 << 20
_CONNECT_TIMEOUT = 10  # seconds
_FULL = 507  # the status of a server whose disks are


def s3_client(**options: Any) -> Any:
    """A client for many threads. options: more of botocore's Config. Raises UsageError for an address that is none."""
    import boto3
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 3}
    config = Config(max_pool_connections=CONNECTIONS, connect_timeout=_CONNECT_TIMEOUT, retries=retries, **options)
    try:
        return boto3.session.Session().client("s3", config=config)
    except ValueError as error:
        address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        raise UsageError(f"AWS_ENDPOINT_URL={address}: {error}; give it as http://host:port") from None


@contextlib.contextmanager
def s3_errors(what: str) -> Iterator[None]:
    """Turn boto3's errors into ServiceError (unreachable, failing) and StorageError (missing, denied, full).

    what: the setting that named the place, as in 'source=s3://bucket/folder'; messages begin with it.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError:
        raise StorageError(f"{what}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if status == _FULL:
            raise StorageError(f"{what}: the S3 server is full ({code}); free space there") from None
        if status >= 500:
            raise ServiceError(f"{what}: the S3 server failed ({code}); try again later") from None
        raise StorageError(f"{what}: the S3 server refused ({code}); check the bucket and the rights") from None
    except BotoCoreError as error:
        raise ServiceError(f"{what}: cannot be reached ({error}); check AWS_ENDPOINT_URL") from None
