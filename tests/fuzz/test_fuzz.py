"""Whatever comes in, the registry answers it properly, logs no fault, and is sound afterwards."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry import logs
from registry.api import door
from registry.operations import blobs, purging
from registry.operations.check import check
from tests.fuzz.requests import Generator, Request, fingerprint
from tests.support.content import digest_of
from tests.support.http import CODES, IN_MEMORY, Message, Registry, call, running

pytestmark = pytest.mark.anyio

SEED = 20261124
QUICK_SETTINGS = {"http.body_idle_seconds_max": 0.01}
"""A client that falls silent is waited for, for each request that does so."""


class Log:
    """Takes the place of the registry's loggers, and keeps what is worse than information."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **facts: Any) -> None:
        """Pass over."""

    def error(self, event: str, **facts: Any) -> None:
        """Keep."""
        self.faults.append((event, facts))

    warning = exception = critical = error


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Give the log of everything that handles requests."""
    log = Log()
    for module in (door, blobs, purging):
        monkeypatch.setattr(module, "log", log)
    monkeypatch.setattr(logs, "access_log", lambda: lambda **_: None)
    return log


async def fuzz(registry: Registry, log: Log, seed: int, count: int) -> Counter[int]:
    """Send so many requests, each answered properly and before `call` loses its patience.

    How often each status came; 0 is a client that had gone.
    """
    make = Generator(random.Random(seed))  # noqa: S311 (no secret)
    statuses: Counter[int] = Counter()
    for number in range(count):
        request = make.request()
        sent = await call(
            registry.app,
            request.method,
            request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            then=request.then,
        )
        fault = fault_in(request, sent)
        assert (fault, log.faults) == ("", []), f"request {number} of seed {seed}: {request}"
        status = sent[0]["status"] if sent else 0
        statuses[status] += 1
        if status == 202 and request.method == "POST":
            make.uploads.append(dict(sent[0]["headers"])[b"location"].decode())
    return statuses


def fault_in(request: Request, sent: list[Message]) -> str:
    """What is wrong with an answer, nothing where it is as it must be."""
    if not sent:
        return "" if request.then == "hang-up" else "no answer"
    status = sent[0]["status"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    if status >= 500 and status not in {503, 507}:
        return f"status {status}"
    if any(character in value for value in headers.values() for character in "\r\n\0"):
        return "a header with line ends"
    if sent[-1].get("more_body"):
        return "" if request.then == "hang-up" else "no end"
    if (
        request.method != "HEAD"
        and status not in {204, 304}
        and headers.get("content-length") != str(len(body))
    ):
        return "another length than it says"
    if status >= 400 and not is_refusal(headers, body):
        return "an error in another form"
    if status == 200 and request.method == "GET" and "docker-content-digest" in headers:
        digest = headers["docker-content-digest"]
        if digest_of(body, digest.partition(":")[0]) != digest:
            return "other bytes than it names"
    return ""


def is_refusal(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an error has the specification's form, with at least one of its codes."""
    if headers.get("content-type") != "application/json":
        return False
    errors = json.loads(body)["errors"]
    return bool(errors) and all(
        error["code"] in CODES | {"UNAVAILABLE"} and error["message"] for error in errors
    )


async def assert_sound(registry: Registry) -> None:
    """The operator's own check finds nothing wrong, and nothing is left open."""
    report = await check(registry.app.registry, lambda *_: None, deep=True)
    assert report.problems == []
    assert (await registry.get("/readyz")).status_code == 200


def assert_varied(statuses: Counter[int]) -> None:
    """The requests were not all refused at the first look: every kind of answer was among them."""
    assert statuses.keys() >= {0, 200, 201, 202, 204, 206, 400, 404, 405, 408, 413, 416}
    assert sum(statuses[status] for status in (200, 201, 202, 204, 206)) > 0.1 * statuses.total()


@pytest.fixture(params=["sqlite-memory", "postgres-files"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, object]:
    """Give settings with each database and each store."""
    if request.param == "sqlite-memory":
        return {**IN_MEMORY, **QUICK_SETTINGS}
    return {
        "storage.directory": tmp_path / "data",
        "database.url": request.getfixturevalue("postgres_url")(),
        **QUICK_SETTINGS,
    }


async def test_some_odd_requests(settings: Mapping[str, object], log: Log, anyio_backend: str) -> None:
    """Three thousand random and mutated requests give no fault, no hang and no line that tells of one."""
    async with running(settings) as registry:
        assert_varied(await fuzz(registry, log, SEED, 3000))
        await assert_sound(registry)


@pytest.mark.faults
async def test_many_odd_requests(log: Log, anyio_backend: str) -> None:
    """The same for a hundred thousand."""
    async with running({**IN_MEMORY, **QUICK_SETTINGS}) as registry:
        assert_varied(await fuzz(registry, log, SEED + 1, 100_000))
        await assert_sound(registry)


def test_seed_decides() -> None:
    """A run can be repeated: the same seed makes the same requests."""
    runs = []
    for _ in range(2):
        make = Generator(random.Random(SEED))  # noqa: S311
        runs.append(fingerprint([make.request() for _ in range(500)]))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("request_", "sent", "fault"),
    [
        (Request("GET", "/"), [], "no answer"),
        (Request("GET", "/"), [{"status": 500, "headers": []}, {}], "status 500"),
        (Request("GET", "/"), [{"status": 200, "headers": [(b"a", b"b\nc")]}, {}], "a header with line ends"),
        (Request("GET", "/"), [{"status": 200, "headers": []}, {"more_body": True}], "no end"),
        (
            Request("GET", "/"),
            [{"status": 200, "headers": [(b"content-length", b"1")]}, {}],
            "another length than it says",
        ),
        (
            Request("GET", "/"),
            [{"status": 404, "headers": [(b"content-length", b"0")]}, {}],
            "an error in another form",
        ),
        (
            Request("GET", "/"),
            [
                {
                    "status": 200,
                    "headers": [(b"content-length", b"1"), (b"docker-content-digest", b"sha256:0")],
                },
                {"body": b"x"},
            ],
            "other bytes than it names",
        ),
    ],
)
def test_faults_would_be_noticed(request_: Request, sent: list[Message], fault: str) -> None:
    """The watch over the answers sees each of the faults that it is there for."""
    assert fault_in(request_, sent) == fault
