"""One round of a case on a running server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench import load
from bench.cases import PRESENT, REPOSITORY, Known
from bench.processes import forget_peak, memory_megabytes, processor_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cases import Case
    from bench.combining import Round
    from bench.servers import Running

_WARM_SECONDS = 0.1
_SETTLING_SECONDS = 1
_IMAGES_A_ROUND_MAX = 10_000


def filled(there: Running, cases: Sequence[Case]) -> Known:
    """Push what the cases want to find: blobs, an image, an image for each client."""
    known = Known()
    for size in sorted({case.blob for case in cases if case.blob}):
        upload = {"operation": "upload", "way": "monolithic", "size": size, "repository": REPOSITORY}
        known.blobs[size] = once(there, upload)
    known.manifest = once(there, {**PRESENT, "repository": REPOSITORY.removesuffix("-0")})
    if clients := max((case.clients for case in cases if case.image), default=0):
        once(there, {**PRESENT, "clients": clients})
    return known


def reading(case: Case, there: Running, known: Known, job: dict[str, Any]) -> Round:
    """A get, after a moment to warm up; or something with images, which are the same in each round but for new ones."""
    if case.requests is None:
        return measured(there, {**job, "salt": 0, "first": job["salt"] * _IMAGES_A_ROUND_MAX})
    job = {**job, "requests": case.requests(known)}
    run(there, {**job, "seconds": _WARM_SECONDS})
    return measured(there, job)


def measured(there: Running, job: dict[str, Any]) -> Round:
    """The load generator's summary, and what the job cost the server, its database, its object storage."""
    who = {"cpu_seconds": there.pids}
    who |= {f"{name}_cpu_seconds": pids for name, pids in there.apart.items() if pids}
    before = {name: processor_seconds(pids) for name, pids in who.items()}
    started = time.monotonic()
    summary = run(there, job)
    wall = time.monotonic() - started
    costs = {name: processor_seconds(pids) - before[name] for name, pids in who.items()}
    return summary | costs | {"wall_seconds": wall}


def settled(there: Running) -> Round:
    """How long the start took, and what the server is content with when nothing is asked of it."""
    time.sleep(_SETTLING_SECONDS)
    return {"start_seconds": there.start_seconds, "idle_megabytes": memory_megabytes(there.pids, "VmRSS")}


def swollen(case: Case, there: Running, job: dict[str, Any]) -> Round:
    """What a push, then a pull of the same, takes beyond the idle state at most."""
    idle = settled(there)["idle_megabytes"]
    forget_peak(there.pids)
    if case.image:
        once(there, {**job, **PRESENT})
    known = Known(blobs={job["size"]: run(there, job)["last"]})
    pushing = memory_megabytes(there.pids, "VmHWM") - idle
    pull = (
        {"operation": "pull-image"}
        if case.requests is None
        else {"operation": "get", "requests": case.requests(known)}
    )
    once(there, {**job, **pull})
    pulling = memory_megabytes(there.pids, "VmHWM") - idle
    return {"idle_megabytes": idle, "pushing_megabytes": pushing, "pulling_megabytes": pulling}


def once(there: Running, job: dict[str, Any]) -> str:
    """Let every client do it once; the digest of what the first one pushed."""
    last: str = run(there, {"clients": 1, **job, "operations": 1})["last"]
    return last


def run(there: Running, job: dict[str, Any]) -> dict[str, Any]:
    """Let the load generator do it; its summary."""
    return load.run({"address": there.address, "authorization": there.server.authorization, **job})
