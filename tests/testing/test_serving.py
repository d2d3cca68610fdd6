"""Starting and stopping: a registry is there at once, is the test's own, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from pydantic import ValidationError

from registry import testing
from registry.oci.digest import Digest
from registry.sockets import CannotListen
from registry.testing import serving
from tests.testing.clients import ask, client, is_refused, push_by_hand

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = b"a layer"
DIGEST = Digest.of(CONTENT)


Left = tuple[set[str], int, set[str]]


@pytest.fixture
def leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Left]:
    """Give a function that tells the threads, open files and temporary files of this process."""
    monkeypatch.setattr(serving, "_MEMORY", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    others = set(
        threading.enumerate()
    )  # of stores and databases that tests before this one have left to be collected

    def look() -> Left:
        gc.collect()
        threads = {thread.name for thread in set(threading.enumerate()) - others}
        return threads, len(os.listdir("/proc/self/fd")), {str(path) for path in tmp_path.rglob("*")}

    return look


def settled(look: Callable[[], Left], before: Left) -> Left:
    """What is left once threads that were told to end have ended."""
    end = time.monotonic() + 5
    while (now := look()) != before and time.monotonic() < end:
        time.sleep(0.01)
    return now


def at_rest(look: Callable[[], Left]) -> Left:
    """What is there once a registry that has just started has begun with all that it does by itself."""
    now = look()
    while (before := now) != (now := _after(0.3, look)):
        pass
    return before


def _after(seconds: float, look: Callable[[], Left]) -> Left:
    time.sleep(seconds)
    return look()


def test_a_push_and_a_pull() -> None:
    """What a client pushes over the socket, the same client pulls, and the test sees."""
    with testing.serve() as oci, client(oci) as http:
        assert push_by_hand(http, "team/app", CONTENT, DIGEST).status_code == 201
        assert http.get(f"/v2/team/app/blobs/{DIGEST}").content == CONTENT
        assert oci.blob(DIGEST) == CONTENT
        assert oci.problems() == []


def test_url_and_host() -> None:
    """The address is one of this machine alone, with a port of its own."""
    with testing.serve() as one, testing.serve() as other:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", one.host)
        assert one.url == f"http://{one.host}"
        assert one.host != other.host


def test_two_at_once_share_nothing() -> None:
    """What is pushed to one registry is not in another."""
    with testing.serve() as one, testing.serve() as other:
        one.push_image("app:1")
        assert one.repositories() == ["app"]
        assert other.repositories() == []


def test_each_with_gives_a_fresh_one() -> None:
    """The same `serve` used twice begins empty twice."""
    once = testing.serve()
    for _ in range(2):
        with once as oci:
            assert oci.repositories() == []
            oci.push_image("app:1")


def test_one_at_a_time() -> None:
    """What `serve` returns runs once at a time: which of two would end first?"""
    once = testing.serve()
    with once as oci:
        with pytest.raises(RuntimeError, match=r"call serve\(\) again"), once:
            pass
        assert oci.repositories() == []


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (("alice", "secret"), "passwords by user name"),
        ({"alice": 1}, "must be str"),
        ({"a:b": "secret"}, "no user can have this name: 'a:b'"),
        ({"": "secret"}, "no user can have this name: ''"),
        ({"alice": "x" * 73}, "more than the 72 bytes"),
    ],
)
def test_impossible_users(auth: Any, message: str) -> None:
    """Users as whom nobody could log in are refused in words, where they are given."""
    with pytest.raises((TypeError, ValueError), match=message):
        testing.serve(auth=auth)


@pytest.mark.parametrize(
    "options",
    [{}, {"store": "filesystem"}, {"auth": {"alice": "secret"}}, {"tls": True}, {"latency": 0.01}],
    ids=str,
)
def test_nothing_is_left(leftovers: Callable[[], Left], options: dict[str, object]) -> None:
    """After the end there is no thread, no open file, no folder and nobody at the port, whatever was going on."""
    with testing.serve(
        tls=True
    ):  # what stays by design, such as imported modules and the authority, is there now
        pass
    before = leftovers()
    with testing.serve(**options) as oci:  # type: ignore[arg-type] (each is one of its options)
        host = oci.host
        idle = client(oci, auth=("alice", "secret"))
        push_by_hand(idle, "app", b"x" * 100_000, Digest.of(b"x" * 100_000))
        oci.faults.on("GET").slow_first_byte(60)
        address, _, port = host.partition(":")
        hanging = socket.create_connection((address, int(port)))
        hanging.sendall(b"GET /v2/ HTTP/1.1\r\nHost: registry\r\n\r\n" if not oci.ca_file else b"")
    idle.close()
    hanging.close()
    assert settled(leftovers, before) == before
    assert is_refused(host)


def test_clients_are_cut_off_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A client that still waits for an answer learns at once that there will be none, which is no error of anybody's."""
    with testing.serve() as oci:
        oci.faults.on("GET").slow_first_byte(60)
        address, _, port = oci.host.partition(":")
        waiting = socket.create_connection((address, int(port)), timeout=5)
        waiting.sendall(b"GET /v2/ HTTP/1.1\r\nHost: registry\r\n\r\n")
        while not oci.requests:
            time.sleep(0.001)
    begun = time.monotonic()
    with waiting, contextlib.suppress(ConnectionResetError):
        assert waiting.recv(1) == b""
    assert time.monotonic() - begun < 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_start_that_fails_leaves_nothing(leftovers: Callable[[], Left]) -> None:
    """A port in use is told as the error it is, and nothing stays."""
    with testing.serve() as oci:
        before = at_rest(leftovers)
        with (
            pytest.raises(CannotListen, match="another program uses this port"),
            testing.serve(port=int(oci.host.partition(":")[2])),
        ):
            pass
        assert settled(leftovers, before) == before


def test_an_unknown_setting_is_refused() -> None:
    """A setting that does not exist is no setting."""
    with pytest.raises(ValidationError), testing.serve(settings={"http.colour": "red"}):
        pass


def test_after_the_end() -> None:
    """A registry that has stopped says so when it is asked for more."""
    with testing.serve() as oci:
        pass
    with pytest.raises(RuntimeError, match="this registry has stopped"):
        oci.push_image("app:1")


def test_a_restart_that_fails() -> None:
    """Where the port was taken in between, the restart says so, and the end is an end all the same."""
    with testing.serve() as oci:
        address, _, port = oci.host.partition(":")
        oci.stop()
        with socket.create_server((address, int(port))), pytest.raises(CannotListen):
            oci.restart()


def test_soon_there() -> None:
    """A start takes less than 30 ms, once everything is imported, where the machine has nothing else to do."""

    def seconds() -> float:
        begun = time.perf_counter()
        with testing.serve():
            return time.perf_counter() - begun

    assert min(seconds() for _ in range(20)) < 0.03


def test_settings_reach_the_registry() -> None:
    """Every key of the configuration can be set."""
    with testing.serve(settings={"deletion.enabled": False}) as oci:
        image = oci.push_image("app:1")
        assert ask(oci, "DELETE", f"/v2/app/manifests/{image.digest}").status_code == 405


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that configure a registry do not concern this one."""
    monkeypatch.setenv("REGISTRY_DELETION__ENABLED", "false")
    with testing.serve() as oci:
        image = oci.push_image("app:1")
        assert ask(oci, "DELETE", f"/v2/app/manifests/{image.digest}").status_code == 202


def test_users() -> None:
    """With users, only they come in."""
    with testing.serve(auth={"alice": "secret"}) as oci:
        assert oci.users == {"alice": "secret"}
        assert ask(oci, "GET", "/v2/").status_code == 401
        assert ask(oci, "GET", "/v2/", auth=("alice", "wrong")).status_code == 401
        assert ask(oci, "GET", "/v2/", auth=("alice", "secret")).status_code == 200
        assert oci.push_image("app:1").tag == "1"  # the test itself needs no password


def test_tls() -> None:
    """A client that trusts the registry's authority may speak HTTPS to it, and one that does not may not."""
    with testing.serve(tls=True) as oci:
        assert oci.url.startswith("https://127.0.0.1:")
        assert ask(oci, "GET", "/v2/").status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{oci.url}/v2/", trust_env=False)


def test_tls_for_localhost() -> None:
    """The certificate is good for the name as well."""
    with testing.serve(tls=True) as oci:
        url = oci.url.replace("127.0.0.1", "localhost")
        assert httpx.get(f"{url}/v2/", verify=oci.ssl_context(), trust_env=False).status_code == 200


def test_read_only() -> None:
    """A read-only registry gives what the test put into it, and takes nothing from clients."""
    with testing.serve(read_only=True) as oci:
        image = oci.push_image("app:1")
        assert ask(oci, "GET", "/v2/app/manifests/1").content == image.content
        refused = ask(oci, "POST", "/v2/app/blobs/uploads/")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")
        assert ask(oci, "DELETE", f"/v2/app/manifests/{image.digest}").status_code == 405
        assert oci.tags("app") == ["1"]


def test_latency() -> None:
    """Every request waits."""
    with testing.serve(latency=0.2) as oci:
        begun = time.monotonic()
        ask(oci, "GET", "/v2/")
        assert time.monotonic() - begun >= 0.2


def test_files() -> None:
    """Blobs in files are where a registry keeps them."""
    with testing.serve(store="filesystem") as oci:
        oci.push_blob("app", CONTENT)
        encoded = DIGEST.encoded
        assert (oci.directory / "blobs/sha256" / encoded[:2] / encoded).read_bytes() == CONTENT


@pytest.mark.parametrize("store", ["memory", "filesystem"])
def test_restart_empties(store: str) -> None:
    """A registry that is started again is empty, at the same address."""
    with testing.serve(store=store) as oci:  # type: ignore[arg-type] (one of the two)
        host = oci.host
        oci.push_image("app:1")
        oci.restart()
        assert oci.host == host
        assert ask(oci, "GET", "/v2/app/tags/list").status_code == 404


def test_restart_of_a_persistent_one() -> None:
    """A persistent registry goes on with what it had."""
    with testing.serve(persistent=True) as oci:
        image = oci.push_image("app:1")
        oci.restart()
        assert ask(oci, "GET", "/v2/app/manifests/1").content == image.content
        assert oci.problems() == []


def test_persistent_in_a_place(tmp_path: Path) -> None:
    """What is pushed to a registry in a folder is there for the next one in that folder."""
    with testing.serve(persistent=tmp_path / "data") as oci:
        image = oci.push_image("app:1")
    with testing.serve(persistent=str(tmp_path / "data")) as oci:
        assert oci.manifest("app:1").content == image.content
        assert oci.blob(image.layers[0].digest) == image.layers[0].content


def test_another_database(postgres_url: Callable[[], str]) -> None:
    """The rows may lie in Postgres."""
    with testing.serve(database=postgres_url()) as oci:
        oci.push_image("app:1")
        assert oci.tags("app") == ["1"]
        assert oci.problems() == []


def test_in_an_asynchronous_test() -> None:
    """`async with` gives the same, in any event loop, and the loop runs while it starts and stops."""

    async def use() -> tuple[list[str], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        async with testing.serve() as oci:
            oci.push_image("app:1")
            async with httpx.AsyncClient(base_url=oci.url, trust_env=False) as http:
                tags = (await http.get("/v2/app/tags/list")).json()["tags"]
        ticking.cancel()
        return tags, ticks

    for _ in range(2):  # each `run` has a loop of its own
        tags, ticks = asyncio.run(use())
        assert tags == ["1"]
        assert ticks > 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_every_event_loop(backend: str) -> None:
    """`async with` works in trio as well, and a block that is cancelled ends its registry."""

    async def use() -> str:
        with anyio.CancelScope() as scope:
            async with testing.serve() as oci:
                scope.cancel()
                await anyio.sleep(60)
        return oci.host

    assert is_refused(anyio.run(use, backend=backend))


def test_one_registry_in_several_loops() -> None:
    """A registry is bound to no event loop of the test's."""

    async def tags(url: str) -> list[str]:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            found: list[str] = (await http.get("/v2/app/tags/list")).json()["tags"]
            return found

    with testing.serve() as oci:
        oci.push_image("app:1")
        assert [asyncio.run(tags(oci.url)) for _ in range(2)] == [["1"], ["1"]]


def test_the_date_goes_on() -> None:
    """Answers carry the time of day, also in a registry that lives for long."""
    with testing.serve() as oci:
        first = ask(oci, "GET", "/v2/").headers["date"]
        end = time.monotonic() + 5
        while ask(oci, "GET", "/v2/").headers["date"] == first:
            assert time.monotonic() < end
            time.sleep(0.1)
