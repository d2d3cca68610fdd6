"""What was aimed at: ratios to the peers, and a few figures of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.cases import MANY, all_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Cases = dict[str, dict[str, Any]]

_LARGE_UPLOADS = tuple(
    f"upload-{way}-{size}" for way in ("monolithic", "streamed", "chunked") for size in ("1m", "100m", "1g")
)
_LARGE_DOWNLOADS = tuple(f"blob-get-{size}" for size in ("1m", "100m", "1g"))
_MANIFESTS = tuple(f"manifest-{method}-{by}" for method in ("get", "head") for by in ("tag", "digest"))
_AT_64 = tuple(case.name for case in all_cases() if case.clients == MANY and case.kind != "memory")
_MEMORY = ("memory-images-64c", "memory-push-blob-1m-64c", "memory-layer-10g")


@dataclass(frozen=True)
class Verdict:
    """One target in one case. `share` is how much of it was reached: 1 or more is enough."""

    case: str
    target: str
    measured: str
    share: float


def verdicts(cases: Cases) -> list[Verdict]:
    """Every target whose case and peer were measured."""
    return [*_rates(cases), *_ratios(cases), *_by_digest(cases), *_latencies(cases), *_memory(cases)]


def _rates(cases: Cases) -> Iterator[Verdict]:
    for case in _MANIFESTS:
        if found := _figure(cases, case, "ours", _per_second):
            yield Verdict(case, "20,000 a second", f"{found:,.0f} a second", found / 20_000)


_RATIOS: tuple[tuple[tuple[str, ...], str, float], ...] = (
    (_MANIFESTS, "bare", 0.4),
    (_MANIFESTS, "distribution", 3),
    (_MANIFESTS, "debian", 10),
    (("blob-get-78",), "distribution", 10),
    (_LARGE_DOWNLOADS, "distribution", 1.3),
    (_LARGE_DOWNLOADS, "olareg", 1),
    (_LARGE_UPLOADS, "distribution", 2),
    (_LARGE_UPLOADS, "olareg", 1.2),
    (("push-blob-1k-1c", "push-blob-1m-1c"), "distribution", 4),
    (("push-blob-1k-64c", "push-blob-1m-64c"), "distribution", 8),
    (("image-push-present-1c", "image-push-present-8c", "image-push-present-64c"), "distribution", 5),
    (("tags-page-100000",), "debian", 50),
)


def _ratios(cases: Cases) -> Iterator[Verdict]:
    for names, peer, wanted in _RATIOS:
        for case in names:
            if found := _figure(cases, case, peer, lambda result: result.get("ratio", 0)):
                costs = _figure(cases, case, peer, lambda result: result["cpu_ratio"] or 0) or 0
                told = f"{found:.2f} x, with {costs:.2f} x the processor time"
                yield Verdict(case, f"{wanted:g} x {peer}", told, found / wanted)


def _by_digest(cases: Cases) -> Iterator[Verdict]:
    for method in ("get", "head"):
        tag, digest = (
            _figure(cases, f"manifest-{method}-{by}", "ours", _per_second) for by in ("tag", "digest")
        )
        if tag and digest:
            told = f"{digest:,.0f} a second"
            yield Verdict(
                f"manifest-{method}-digest", f"no slower than by tag, {tag:,.0f} a second", told, digest / tag
            )


def _latencies(cases: Cases) -> Iterator[Verdict]:
    for case in _AT_64:
        ours = _figure(cases, case, "ours", lambda result: result["latency_ms"]["p99"])
        theirs = _figure(cases, case, "distribution", lambda result: result["latency_ms"]["p50"])
        if ours and theirs:
            target = f"p99 not above the median of distribution, {theirs:.1f} ms"
            yield Verdict(case, target, f"{ours:.1f} ms", theirs / ours)


def _memory(cases: Cases) -> Iterator[Verdict]:
    if idle := _figure(cases, "start", "ours", lambda result: result["idle_megabytes"]):
        yield Verdict("start", "below 90 MB idle", f"{idle:.0f} MB", 90 / idle)
    for case in _MEMORY:
        if more := _figure(cases, case, "ours", _most_more):
            yield Verdict(case, "below 60 MB more", f"{more:.0f} MB", 60 / more)


def _per_second(result: dict[str, Any]) -> float:
    return float(result["per_second"])


def _most_more(result: dict[str, Any]) -> float:
    return max(float(result["pushing_megabytes"]), float(result["pulling_megabytes"]))


def _measured(results: dict[str, Any], server: str) -> bool:
    return server in results and "failed" not in results[server]


def _figure(cases: Cases, case: str, server: str, value: Callable[[dict[str, Any]], float]) -> float | None:
    results = cases.get(case, {})
    return value(results[server]) if _measured(results, server) else None
