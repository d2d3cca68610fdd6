"""What the server says once it is ready: where it listens, where data lies, what to try."""

import socket

from registry import __version__
from registry.keys import Config, mask_url
from registry.sockets import url, with_port

IN_MEMORY = "in memory, gone when it stops"


def greeting(config: Config, sockets: list[socket.socket]) -> str:
    """Some lines for people, and for scripts that wait for them; no secret is in them."""
    workers = f" ({config.http.workers} workers)" if config.http.workers > 1 else ""
    secure = config.http.tls.certificate_file is not None
    data = IN_MEMORY if config.storage.kind == "memory" else config.storage.directory.absolute()
    database = IN_MEMORY if config.database_url == "sqlite://" else mask_url(config.database_url)
    lines = [
        f"registry {__version__} is ready",
        f"  listening  {', '.join(url(listener, secure=secure) for listener in sockets)}{workers}",
        f"  data       {data}",
        f"  database   {database}",
    ]
    lines += [
        f"  {'' if index else 'try':9}  {line}" for index, line in enumerate(_to_try(config, sockets[0]))
    ]
    return "\n".join(lines) + "\n"


def _to_try(config: Config, listener: socket.socket) -> list[str]:
    if listener.family == socket.AF_UNIX:
        scheme = "https" if config.http.tls.certificate_file else "http"
        return [f"curl --unix-socket {listener.getsockname()} {scheme}://localhost/v2/"]
    here = config.http.host in {"127.0.0.1", "localhost", "0.0.0.0", "::"}  # noqa: S104 (a comparison)
    address = with_port("localhost" if here else config.http.host, listener.getsockname()[1])
    login = [f"docker login {address}"] if config.auth.htpasswd.file else []
    return [*login, f"docker tag debian:10 {address}/debian:10", f"docker push {address}/debian:10"]
