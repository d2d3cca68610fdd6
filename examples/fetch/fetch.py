"""Downloads a layer, tries again when the registry is busy, and resumes where a connection was cut off."""

from __future__ import annotations

import hashlib
import time
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from pathlib import Path

PIECE_BYTES = 4096
TRIES_MAX = 5


class FetchError(Exception):
    """The layer could not be had; the text says why."""


class Fetcher:
    """Downloads from one registry."""

    def __init__(self, url: str) -> None:
        """Take the registry's URL."""
        self._url = url

    def fetch(self, repository: str, digest: str, target: Path) -> None:
        """Put the blob into the file; FetchError where it cannot be had whole."""
        received, size = 0, None
        with target.open("wb") as file:
            for _ in range(TRIES_MAX):
                answer = self._ask(f"{self._url}/v2/{repository}/blobs/{digest}", received)
                if answer is None:
                    continue
                with answer:
                    size = size or int(answer.headers["content-length"])
                    while piece := self._read(answer):
                        file.write(piece)
                        received += self.advance(piece)
                if received >= size:
                    break
            else:
                raise FetchError(f"gave up after {TRIES_MAX} tries")
        self._verify(target, digest)

    def advance(self, piece: bytes) -> int:
        """How far a piece brings us."""
        del piece
        return PIECE_BYTES  # the planted bug: a piece before a cut has fewer

    def _ask(self, url: str, offset: int) -> HTTPResponse | None:
        """The answer, None where it is worth asking again."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            answer: HTTPResponse = urlopen(Request(url, headers=headers))
        except HTTPError as error:
            with error:
                if error.code not in {429, 503}:
                    raise FetchError(f"the registry says {error.code}") from error
                time.sleep(int(error.headers.get("retry-after", "0")))
            return None
        return answer

    def _read(self, answer: HTTPResponse) -> bytes:
        try:
            return answer.read(PIECE_BYTES)
        except (OSError, HTTPException):
            return b""

    def _verify(self, target: Path, digest: str) -> None:
        found = f"sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}"
        if found != digest:
            raise FetchError(f"what came hashes to {found}")
