"""`/v2/` (end-1), and the pages outside of it: `/`, `/healthz`, `/readyz`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, PlainTextResponse, Response

from registry.api.answer import Answer
from registry.operations import health

if TYPE_CHECKING:
    from registry.api.call import Call

_EMPTY: Final = ((b"content-length", b"2"), (b"content-type", b"application/json"))


async def ping(call: Call) -> Response:
    """200: this is a registry, and the caller may use it. podman and dockerd look for a challenge only here."""
    del call
    return Answer(200, _EMPTY, b"{}")


async def front(call: Call) -> Response:
    """200: what this is, for a person or a load balancer that looks at `/`."""
    del call
    return PlainTextResponse(
        "A container registry. Its API is at /v2/, its health at /healthz and /readyz.\n"
    )


async def alive(call: Call) -> Response:
    """200 as long as the process answers."""
    del call
    return JSONResponse({"status": "alive"})


async def ready(call: Call) -> Response:
    """200 when database and storage answer, 503 with what does not."""
    faults = await health.faults(call.registry)
    content = {"status": "not ready" if faults else "ready", "faults": faults}
    return Response(json.dumps(content).encode(), 503 if faults else 200, media_type="application/json")
