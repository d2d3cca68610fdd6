"""Runs a registry in a thread with an event loop of its own, so that tests of any kind can use it."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
import uvloop

from registry import logs
from registry.server import certificate_of, uvicorn_config
from registry.sockets import listening
from registry.testing.application import application
from registry.testing.connection import Connection
from registry.testing.layers import wrapped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from uvicorn.server import ServerState

    from registry.keys import Config
    from registry.operations.registry import Registry
    from registry.testing.layers import Layer

T = TypeVar("T")

_DATE_SECONDS = 1.0


class RegistryThread:
    """A registry that runs from `start` to `stop`; `registry` and `port` are known in between."""

    registry: Registry
    port: int

    def __init__(self, config: Config, layers: Sequence[Layer]) -> None:
        self._config = config
        self._layers = layers
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="oci-registry", daemon=True)

    def start(self) -> None:
        """Return when requests are answered; raises what hindered it."""
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            wait([self._started])  # somebody may have interrupted this while the start went on
            self.stop()
            raise

    def do(self, deed: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns, run beside the requests; RuntimeError where the registry has stopped."""
        if not self._thread.is_alive():
            deed.close()
            raise RuntimeError("this registry has stopped")
        return asyncio.run_coroutine_threadsafe(deed, self._loop).result()

    def stop(self) -> None:
        """Cut every connection, and return when nothing is left."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has ended this moment
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self) -> None:
        logs.quiet.set(True)  # in the context of this thread, which all that runs in its loop inherits
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        with listening(self._config.http) as sockets:
            async with application(self._config) as app:
                self.registry, self.port = app.registry, sockets[0].getsockname()[1]
                settings = uvicorn_config(
                    self._config,
                    wrapped(app, self._layers),
                    certificate_of(self._config),
                    protocol=Connection,
                )
                async with _serving(settings, sockets[0]) as server:
                    self._started.set_result(None)
                    while not self._stopping.is_set():
                        await server.on_tick(0)  # sets the Date header
                        with suppress(TimeoutError):
                            await asyncio.wait_for(self._stopping.wait(), _DATE_SECONDS)


@asynccontextmanager
async def _serving(settings: uvicorn.Config, listener: socket.socket) -> AsyncIterator[uvicorn.Server]:
    """Uvicorn without its way to stop, which waits for clients and takes a tenth of a second at least."""
    settings.load()
    server = uvicorn.Server(settings)
    await server.on_tick(0)
    accepting = asyncio.create_task(_accept(settings, server.server_state, listener))
    try:
        yield server
    finally:
        await _end([accepting])
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # so that they know before their tasks do
        await _end(list(server.server_state.tasks))


async def _accept(settings: uvicorn.Config, state: ServerState, listener: socket.socket) -> None:
    """Take connections. Not `create_server`, which keeps those that never agree on TLS out of everybody's reach."""
    loop = asyncio.get_running_loop()
    listener.settimeout(0)
    beginning: set[asyncio.Task[None]] = set()
    try:
        while True:
            accepted, _ = await loop.sock_accept(listener)
            task = loop.create_task(_connect(settings, state, accepted))
            beginning.add(task)
            task.add_done_callback(beginning.discard)
    finally:
        await _end(list(beginning))


async def _connect(settings: uvicorn.Config, state: ServerState, accepted: socket.socket) -> None:
    """Put uvicorn's protocol behind a connection, and TLS between them where there is some."""
    loop = asyncio.get_running_loop()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError):  # a handshake that fails is the client's business
        await loop.connect_accepted_socket(
            lambda: Connection(config=settings, server_state=state, app_state={}), accepted, ssl=settings.ssl
        )


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
