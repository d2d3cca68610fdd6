"""TLS: a certificate that is read again when its files change, while connections go on."""

import ssl
from pathlib import Path

from registry import logs

log = logs.logger("registry.tls")

Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificate:
    """A certificate and its key on disk, and the one context that serves them.

    Travels to worker processes (pickled) as long as `context` was not called.
    """

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """Read nothing yet."""
        self._files = certificate_file, key_file
        self._live: ssl.SSLContext | None = None
        self._seen: Stamp = ()

    def check(self) -> None:
        """Try both files; OSError (of which ssl.SSLError is one) says what is wrong with them."""
        self._load(_context())

    def context(self, *_: object) -> ssl.SSLContext:
        """The context to serve with. Takes, and ignores, what uvicorn gives to a context factory."""
        self._seen = self._stamp()
        self._live = _context()
        self._load(self._live)
        return self._live

    async def reload(self) -> None:
        """Load the files again if they changed; what cannot be loaded is logged, and the old certificate stays.

        On the event loop, because a context must not change while another thread shakes hands with it.
        """
        stamp = self._stamp()
        if self._live is None or stamp == self._seen:
            return
        self._seen = stamp
        try:
            self.check()  # a load that fails would leave the live context with half of the new pair
            self._load(self._live)
        except OSError as error:
            log.error(  # noqa: TRY400 (the reason says it all)
                "certificate not reloaded, the old one stays", file=str(self._files[0]), reason=str(error)
            )
        else:
            log.info("certificate reloaded", file=str(self._files[0]))

    def _load(self, context: ssl.SSLContext) -> None:
        certificate_file, key_file = self._files
        # without a password, OpenSSL would stop to ask for one on the terminal
        context.load_cert_chain(certificate_file, key_file, password="")

    def _stamp(self) -> Stamp:
        return tuple(_file_stamp(file) for file in self._files)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _file_stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
