"""From an error to what the client is told: one table, one envelope (spec.md, Error Codes)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from registry.oci import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS: Final[Mapping[type[errors.RegistryError], int]] = {
    errors.NameInvalid: 400,
    errors.ReferenceInvalid: 400,
    errors.DigestInvalid: 400,
    errors.DigestMismatch: 400,
    errors.SizeInvalid: 400,
    errors.BlobUploadInvalid: 400,
    errors.ManifestInvalid: 400,
    errors.ManifestBlobUnknown: 400,
    errors.ManifestSizesWrong: 400,
    errors.Unsupported: 400,
    errors.Unauthorized: 401,
    errors.Denied: 403,
    errors.NameUnknown: 404,
    errors.BlobUnknown: 404,
    errors.BlobUploadUnknown: 404,
    errors.ManifestUnknown: 404,
    errors.RouteUnknown: 404,
    errors.BlobReferenced: 405,
    errors.DeletionDisabled: 405,
    errors.MethodUnsupported: 405,
    errors.RequestTimeout: 408,
    errors.ManifestTooLarge: 413,
    errors.TooManyTags: 414,
    errors.RangeNotSatisfiable: 416,
    errors.UploadOutOfOrder: 416,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
}

_RETRY_AFTER_SECONDS: Final = "2"


def status_of(error: errors.RegistryError) -> int:
    """The HTTP status, found by walking up the error's classes."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def error_response(error: errors.RegistryError, headers: Mapping[str, str]) -> Response:
    """The answer to a request that failed for a reason the client can know."""
    entries = [_entry(error.code, message, detail) for message, detail in error.entries()]
    return _envelope(status_of(error), entries, headers)


def headers_of(error: errors.RegistryError) -> Mapping[str, str]:
    """The headers that HTTP wants beside an error."""
    match error:
        case errors.MethodUnsupported():
            return {"allow": ", ".join(error.allowed)}
        case errors.BlobReferenced() | errors.DeletionDisabled():
            return {"allow": "GET, HEAD"}
        case errors.RangeNotSatisfiable():
            return {"content-range": f"bytes */{error.size}"}
        case errors.Unavailable():
            return {"retry-after": _RETRY_AFTER_SECONDS}
        case _:
            return {}


def fault_response(request_id: str) -> Response:
    """The answer where the reason is our own: it says nothing but how to find it in the log."""
    message = (
        f"something went wrong in the registry; its operator finds it in the log under request {request_id}"
    )
    return _envelope(500, [{"code": "UNKNOWN", "message": message}], {})


def _entry(code: str, message: str, detail: object) -> dict[str, Any]:
    entry: dict[str, Any] = {"code": code, "message": message}
    if detail is not None:
        entry["detail"] = detail
    return entry


def _envelope(status: int, entries: list[dict[str, Any]], headers: Mapping[str, str]) -> Response:
    content = json.dumps({"errors": entries}).encode()
    return Response(content, status, media_type="application/json", headers=dict(headers))
