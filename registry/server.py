"""Serving: sockets, TLS, workers and signals around the ASGI application, known only by its module's name."""

import asyncio
import importlib
import json
import math
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.lifespan.on import LifespanOn, LifespanSendMessage
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from registry import logs
from registry.greeting import greeting
from registry.keys import Config
from registry.memory import loading
from registry.protocol import Protocol
from registry.sockets import BACKLOG, CannotListen, last_accepts, listening
from registry.tls import Certificate

APPLICATION = "registry.app"
WORKER_VARIABLE = "REGISTRY_WORKER"  # no "__" in it, so it is not read as configuration
READY_POLL_SECONDS = 0.02
WORKER_HEALTH_SECONDS = 30  # a worker may import for long on a busy machine

OK, FAILED = 0, 1

Application = Callable[..., Awaitable[None]]  # ASGI 3

log = logs.logger("registry.server")


def serve(config: Config, application: str = APPLICATION) -> int:
    """Serve until SIGTERM or SIGINT; the exit status, 0 after an orderly stop.

    `application` names a module with `build(config)`, the ASGI application, whose start may happen in several
    processes at once.
    """
    logs.configure(config.log.level, config.log.format)
    try:
        certificate = certificate_of(config)
        with listening(config.http) as sockets:
            announce = partial(_announce, config, sockets)
            run = _serve_here if config.http.workers == 1 else _serve_with_workers
            return run(config, application, certificate, sockets, announce)
    except CannotListen as error:
        sys.stderr.write(f"registry: {error}\n")
        return FAILED


def _announce(config: Config, sockets: list[socket.socket]) -> None:
    """To stdout, for people and for scripts that wait for it."""
    with suppress(OSError):  # nobody may be listening any more
        sys.stdout.write(greeting(config, sockets))
        sys.stdout.flush()


def _built(application: str, config: Config) -> Application:
    with loading():
        app: Application = importlib.import_module(application).build(config)
    return app


def certificate_of(config: Config) -> Certificate | None:
    """What TLS is served with, None without TLS; CannotListen where its files cannot be used."""
    tls = config.http.tls
    if tls.certificate_file is None or tls.key_file is None:
        return None
    certificate = Certificate(tls.certificate_file, tls.key_file)
    try:
        certificate.check()
    except OSError as error:
        files = f"{tls.certificate_file} and {tls.key_file}"
        raise CannotListen(f"cannot serve TLS with {files}: {error}") from error
    return certificate


def explained(error: BaseException | None) -> list[str]:
    """What an operator can mend, in plain words: files, users, a database that cannot be used or was lost.

    Empty for anything else, which is a fault of ours and deserves its traceback.
    """
    from registry.auth.htpasswd import HtpasswdInvalid
    from registry.db.migrate import SchemaOutdated
    from registry.operations.describing import DatabaseLost

    driver_error = getattr(error, "orig", None)  # how SQLAlchemy keeps what the database's driver said
    # names of PEP 249, the same in every driver; SQLite says a bare DatabaseError of a file that is no database
    if type(driver_error).__name__ in {"OperationalError", "DatabaseError"}:
        return ["the database cannot be used:", *str(driver_error).splitlines()]
    if isinstance(error, OSError) and error.filename:
        return [f"{error.filename}: {error.strerror}{_who_may_not(error)}"]
    return (
        [str(error)] if isinstance(error, OSError | HtpasswdInvalid | SchemaOutdated | DatabaseLost) else []
    )


def _who_may_not(error: OSError) -> str:
    """With a folder from outside of a container, it is seldom known who the process is."""
    if not isinstance(error, PermissionError):
        return ""
    user = os.geteuid()
    return f"; this process is user {user}, who must own it, by: chown -R {user}:{os.getegid()} FOLDER"


class _Lifespan(LifespanOn):
    """The application's start and stop; a start that failed is told in plain words where there are some."""

    async def send(self, message: LifespanSendMessage) -> None:
        """See LifespanOn; called by the framework while it handles what went wrong."""
        if message["type"] == "lifespan.startup.failed" and (lines := explained(sys.exc_info()[1])):
            message = {"type": "lifespan.startup.failed", "message": " ".join(lines)}
        await super().send(message)


class _UvicornConfig(uvicorn.Config):
    """uvicorn's, with our lifespan, for which it has no setting."""

    def load(self) -> None:
        """See uvicorn.Config."""
        super().load()
        self.lifespan_class = _Lifespan


def uvicorn_config(
    config: Config,
    app: Application | str,
    certificate: Certificate | None,
    *,
    factory: bool = False,
    protocol: type[Protocol] = Protocol,
) -> uvicorn.Config:
    """How uvicorn serves the application; `factory`: it is the name of a function that makes it."""
    http = config.http
    return _UvicornConfig(
        app,
        factory=factory,
        interface="asgi3",
        http=protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        workers=http.workers,
        timeout_worker_healthcheck=WORKER_HEALTH_SECONDS,
        timeout_keep_alive=math.ceil(http.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(http.shutdown_seconds_max),
        timeout_notify=math.ceil(http.tls.reload_seconds),
        callback_notify=certificate.reload if certificate else None,
        ssl_context_factory=certificate.context if certificate else None,
    )


# --- one process ---


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn.Server."""
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn.Server."""
        for seconds in last_accepts(sockets or []):
            await asyncio.sleep(seconds)
        await super().shutdown(sockets)


def _serve_here(
    config: Config,
    application: str,
    certificate: Certificate | None,
    sockets: list[socket.socket],
    announce: Callable[[], None],
) -> int:
    server = _Server(uvicorn_config(config, _built(application, config), certificate), announce)
    # uvicorn puts these handlers back when it has stopped and raises the signal again: then it must not kill us
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    try:
        server.run(sockets)
    except SystemExit:  # the application did not start, which is logged
        return FAILED
    return OK


# --- several processes ---


class _Supervisor(Multiprocess):
    """Keeps the workers alive, and says when all of them are ready."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], announce: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._announce: Callable[[], None] | None = announce

    def init_processes(self) -> None:
        """See Multiprocess; goes on when all are ready, for which half a second is long."""
        super().init_processes()
        while self._announce and not self.should_exit.wait(READY_POLL_SECONDS):
            self.handle_signals()
            self.keep_subprocess_alive()

    def keep_subprocess_alive(self) -> None:
        """See Multiprocess; called twice a second."""
        if self.should_exit.is_set():
            return
        for process in self.processes:
            process.child_conn.close()  # our copy of its end: while it is open, a dead worker only looks slow
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        if self._announce is None and self.should_exit.is_set():
            self._try_again()
        for died, process in zip(before, self.processes, strict=True):
            if died != process.pid:
                log.error("worker died and was replaced", died=died, started=process.pid)
        if self._announce and not self.should_exit.is_set() and all(p.is_ready() for p in self.processes):
            self._announce()
            self._announce = None

    def _try_again(self) -> None:
        """A worker could not start where others did: what it stands on is away, and comes back.

        Multiprocess gives up then, as is right for the first ones; the others would end with it.
        """
        self.should_exit.clear()
        for number, process in enumerate(self.processes):
            if process.exitcode == STARTUP_FAILURE:
                self.processes[number] = again = Process(self.config, self.sockets)
                again.start()
                log.warning("worker could not start and is started again; the others go on", died=process.pid)

    def terminate_all(self) -> None:
        """See Multiprocess."""
        for seconds in last_accepts(self.sockets):
            time.sleep(seconds)
        for listener in self.sockets:  # else the kernel would go on taking connections for us
            listener.close()
        super().terminate_all()

    @property
    def failed(self) -> bool:
        """Whether it stopped because a worker could not start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)


def _serve_with_workers(
    config: Config,
    application: str,
    certificate: Certificate | None,
    sockets: list[socket.socket],
    announce: Callable[[], None],
) -> int:
    # by the environment, which other users cannot read, unlike the command line
    os.environ[WORKER_VARIABLE] = json.dumps(
        {"application": application, "config": config.model_dump(mode="json")}
    )
    try:
        supervisor = _Supervisor(
            uvicorn_config(config, "registry.server:worker_app", certificate, factory=True), sockets, announce
        )
        supervisor.run()
    finally:
        del os.environ[WORKER_VARIABLE]
    return FAILED if supervisor.failed else OK


def worker_app() -> Application:
    """The ASGI application of a worker process; called by uvicorn on the worker's event loop."""
    handed = json.loads(os.environ[WORKER_VARIABLE])
    config = Config.model_validate(handed["config"])
    logs.configure(config.log.level, config.log.format)
    _stop_with_parent()
    try:
        return _built(handed["application"], config)
    except Exception as error:
        reason = explained(error)
        log.exception("worker cannot start", reason=" ".join(reason), exc_info=not reason)
        sys.exit(STARTUP_FAILURE)  # tells the supervisor not to try again for ever


def _stop_with_parent() -> None:
    """A worker whose parent was killed would keep the port, and nobody could stop it: it stops too."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def stop() -> None:
        loop.remove_reader(sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, stop)
