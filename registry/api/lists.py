"""`/v2/<name>/tags/list`, `/v2/_catalog`, `/v2/<name>/referrers/<digest>` (end-8a, 8b, 12a, 12b)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from registry.oci.digest import Digest
from registry.oci.errors import Unsupported
from registry.oci.media_types import OCI_INDEX
from registry.operations import listing

if TYPE_CHECKING:
    from registry.api.call import Call
    from registry.oci.manifest import Referrer

_LIMIT_DIGITS_MAX = 18


async def tags(call: Call) -> Response:
    """200 with tags in byte order; 404 NAME_UNKNOWN."""
    limit = _limit(call)
    page = await listing.list_tags(call.registry, call.repository, call.query.get("last") or "", limit)
    headers = {}
    if page.more:
        headers = _next(f"/v2/{call.repository}/tags/list", last=page.entries[-1], n=limit)
    return _json({"name": call.repository, "tags": page.entries}, headers)


async def catalog(call: Call) -> Response:
    """200 with the names of repositories that the caller may pull from, in byte order."""
    limit = _limit(call)
    page = await listing.list_repositories(call.registry, call.principal, call.query.get("last") or "", limit)
    headers = _next("/v2/_catalog", last=page.entries[-1], n=limit) if page.more else {}
    return _json({"repositories": page.entries}, headers)


async def referrers(call: Call) -> Response:
    """200 with an index of what refers to the digest, empty where nothing does or the repository is not there."""
    subject = Digest.parse_foreign(call.parameter)
    # A raw '+' in a query string means a space, which no media type has.
    wanted = (call.query.get("artifactType") or "").replace(" ", "+") or None
    last = call.query.get("last") or ""
    page = await listing.list_referrers(call.registry, call.repository, subject, wanted, last)
    headers = {"oci-filters-applied": "artifactType"} if wanted else {}
    if page.more:
        path = f"/v2/{call.repository}/referrers/{subject}"
        headers |= _next(path, last=page.entries[-1].digest, artifactType=wanted)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_descriptor(entry) for entry in page.entries],
    }
    return _json(index, headers, OCI_INDEX)


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "mediaType": referrer.media_type,
        "digest": referrer.digest,
        "size": referrer.size,
    }
    if referrer.artifact_type:
        descriptor["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        descriptor["annotations"] = referrer.annotations
    return descriptor


def _limit(call: Call) -> int | None:
    given = call.query.get("n")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _LIMIT_DIGITS_MAX):
        raise Unsupported("n must be the number of entries wanted, 0 or more", {"n": given[:64]})
    return int(given)


def _next(path: str, **parameters: object) -> dict[str, str]:
    """Where the list goes on (RFC 8288); the page size is asked for again as the client asked for it."""
    query = urlencode(
        {name: value for name, value in parameters.items() if value is not None}, quote_via=quote
    )
    return {"link": f'<{path}?{query}>; rel="next"'}


def _json(content: object, headers: dict[str, str], media_type: str = "application/json") -> Response:
    return Response(json.dumps(content).encode(), media_type=media_type, headers=headers)
