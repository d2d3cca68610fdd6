"""`python -m registry.testing`: a registry for test suites in other languages, gone when they are.

Prints its URL, with --tls on a second line the file with the certificate to trust, and serves until its standard input
ends: whoever started it and dies takes it along.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from registry.testing import serve

if TYPE_CHECKING:
    from registry.testing.oci_registry import OciRegistry

_PIECE_BYTES = 65536


def main(arguments: list[str] | None = None) -> int:
    """Serve until the end of standard input, or until a signal; the exit status."""
    given = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            _serve(given)
    except Exception as error:
        reason = _explained(error)
        if not reason:
            raise
        sys.stderr.write(f"registry.testing: {' '.join(reason)}\n")
        return 1
    return 0


def _serve(given: argparse.Namespace) -> None:
    if sys.stdin is None:
        raise ValueError("standard input is closed, whose end would be the registry's")
    serving = serve(
        auth=dict(given.user),
        tokens=given.tokens,
        tls=given.tls,
        store=given.store,
        persistent=given.persistent or False,
        database=given.database,
        latency=given.latency,
        read_only=given.read_only,
        port=given.port,
    )
    with serving as oci:
        _announce(oci)
        while sys.stdin.buffer.read(_PIECE_BYTES):
            pass


def _explained(error: Exception) -> list[str]:
    """What whoever started it can mend, in words; empty for a fault of ours."""
    from pydantic import ValidationError

    from registry.server import explained
    from registry.sockets import CannotListen

    if isinstance(error, ValidationError):
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']};" for one in error.errors()]
    if isinstance(error, CannotListen | ValueError | ImportError):
        return [str(error)]
    return explained(error)


def _announce(oci: OciRegistry) -> None:
    lines = [oci.url, *([str(oci.ca_file)] if oci.ca_file else [])]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m registry.testing", description="Serve a fresh registry until standard input ends."
    )
    add = parser.add_argument
    add("--user", action="append", type=_user, default=[], metavar="NAME:PASSWORD", help="who may come in")
    add("--tokens", action="store_true", help="log in by tokens (Bearer)")
    add(
        "--tls", action="store_true", help="HTTPS; the certificate to trust is in the file on the second line"
    )
    add("--store", choices=["memory", "filesystem"], default="memory", help="where blobs lie")
    add("--persistent", type=Path, metavar="FOLDER", help="where everything lies, and stays")
    add("--database", metavar="URL", help="another database than a SQLite of its own")
    add("--latency", type=float, default=0, metavar="SECONDS", help="how long every request waits")
    add("--read-only", action="store_true", help="take nothing")
    add("--port", type=int, default=0, help="any free one, unless given")
    return parser


def _user(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("must be NAME:PASSWORD")
    return name, password


if __name__ == "__main__":
    sys.exit(main())
