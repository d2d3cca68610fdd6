"""Multipart uploads that nobody will finish, as a killed replica leaves them: found and aborted, on S3.

obstore cannot list them, so S3 is asked through its vendor's library. It is loaded when it is used: by the one replica
that purges, not at the start. GCS and Azure have a lifecycle rule for this, or need none; docs/operating.md tells.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from registry import logs
from registry.storage.objects.layout import SEGMENTS, SNAPSHOTS
from registry.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from registry.storage.objects.service import Bucket

_SNAPSHOT_TIME_MAX: Final = timedelta(days=1)

log = logs.logger(__name__)


async def abort_abandoned(bucket: Bucket, since: float, busy: Collection[str]) -> int:
    """Abort those begun before `since` (Unix time by the service's clock), but for the uploads (by id) that are busy.

    How many they were.
    """
    if bucket.scheme != "s3":
        return 0
    return await in_thread(None, _abort, bucket, datetime.fromtimestamp(since, UTC), busy)


def _abort(bucket: Bucket, since: datetime, busy: Collection[str]) -> int:
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    count = 0
    try:
        with closing(_client(bucket)) as client:
            for found in _listed(client, bucket):
                if _is_abandoned(found, since, busy):
                    _abort_one(client, bucket, found["Key"], found["UploadId"])
                    count += 1
    except (BotoCoreError, ClientError) as error:
        # The right to do this is often forgotten; that must not keep other things from being tidied up.
        log.warning("unfinished multipart uploads could not be removed", error=str(error))
    return count


def _is_abandoned(found: dict[str, Any], since: datetime, busy: Collection[str]) -> bool:
    """A snapshot has no mark that tells whether somebody is at work on it: it is given time instead."""
    parent = found["Key"].split("/")[-2]
    if parent == SNAPSHOTS:
        return bool(found["Initiated"] <= since - _SNAPSHOT_TIME_MAX)
    return found["Initiated"] <= since and parent not in busy


def _listed(client: Any, bucket: Bucket) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - botocore makes its classes
    for folder in (SEGMENTS, SNAPSHOTS):
        prefix = f"{bucket.prefix}/{folder}/".removeprefix("/")
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name, Prefix=prefix)
        for page in pages:
            # Some services pass over the prefix, and others have put their things into the bucket too.
            yield from (found for found in page.get("Uploads", ()) if found["Key"].startswith(prefix))


def _abort_one(client: Any, bucket: Bucket, key: str, upload_id: str) -> None:  # noqa: ANN401 - as above
    try:
        client.abort_multipart_upload(Bucket=bucket.name, Key=key, UploadId=upload_id)
    except client.exceptions.NoSuchUpload:  # finished or aborted since
        return


def _client(bucket: Bucket) -> Any:  # noqa: ANN401 - as above
    from botocore.config import Config  # type: ignore[import-untyped]
    from botocore.session import get_session  # type: ignore[import-untyped]

    style = "auto" if bucket.endpoint is None else "path"
    config = Config(s3={"addressing_style": style}, retries={"mode": "standard", "max_attempts": 5})
    session = get_session()
    region = bucket.region or session.get_config_variable("region") or "us-east-1"
    return session.create_client("s3", region_name=region, endpoint_url=bucket.endpoint, config=config)
