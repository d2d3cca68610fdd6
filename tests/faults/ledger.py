"""The ledger: what was asked of the registry and what it acknowledged, to hold it to its word later."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_AT_A_TIME = 8
ANY_TYPE = {"accept": "*/*"}


class Ledger:
    """For each path, the digests that it may lead to (None: nothing is there).

    A request adds what it asks for, since nobody knows when it takes effect; its acknowledgement leaves nothing else.
    """

    def __init__(self, possible: dict[str, frozenset[str | None]] | None = None) -> None:
        self._possible = possible or {}
        self._asked: list[tuple[str, str | None]] = []

    def __len__(self) -> int:
        return len(self._possible)

    def asked(self, path: str, outcome: str | None) -> None:
        """A request is about to be sent."""
        self._possible[path] = self._possible.get(path, frozenset({None})) | {outcome}
        self._asked.append((path, outcome))

    def acknowledged(self, path: str, outcome: str | None) -> None:
        """Its answer has come."""
        self._possible[path] = frozenset({outcome})

    def must_lead_to(self, path: str) -> str | None:
        """The one digest that a path must lead to; None where it may be another, or nothing."""
        possible = self._possible.get(path, frozenset())
        return next(iter(possible)) if len(possible) == 1 else None

    def certain(self) -> list[tuple[str, str]]:
        """Each path that must lead to one digest, with it."""
        found = [(path, self.must_lead_to(path)) for path in self._possible]
        return [(path, digest) for path, digest in found if digest is not None]

    def asked_to_delete(self, repository: str, digest: str) -> None:
        """A manifest is about to be deleted, and the tags that point to it with it."""
        for path in self._leading_to(repository, digest):
            self.asked(path, None)

    def acknowledged_deletion(self, repository: str, digest: str) -> None:
        """Neither the manifest nor a tag leads to it any longer."""
        for path in self._leading_to(repository, digest):
            self._possible[path] = self._possible[path] - {digest} | {None}

    def _leading_to(self, repository: str, digest: str) -> list[str]:
        prefix = f"/v2/{repository}/manifests/"
        return [path for path, may in self._possible.items() if path.startswith(prefix) and digest in may]

    def photograph(self) -> Photograph:
        """Keep what is so now, while pushes go on."""
        return Photograph(dict(self._possible), self._asked, len(self._asked))

    def changed_since(self, position: int) -> tuple[Ledger, int]:
        """The part that requests since `position` were about, and the next position."""
        paths = {path for path, _ in self._asked[position:]}
        return Ledger({path: self._possible[path] for path in paths}), len(self._asked)

    def of_manifests(self) -> Ledger:
        """The part that is about manifests and tags."""
        return Ledger({path: may for path, may in self._possible.items() if "/manifests/" in path})

    async def faults(self, http: httpx.AsyncClient) -> list[str]:
        """Every path that leads elsewhere than it may, by pulling and hashing what is there."""
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def look(path: str, possible: frozenset[str | None]) -> str | None:
            async with gate:
                found = await _pull(http, path, next((str(may) for may in possible if may), "sha256:"))
            return (
                None
                if found in possible
                else f"{path} leads to {found}, may lead to {sorted(map(str, possible))}"
            )

        looks = [look(path, possible) for path, possible in self._possible.items()]
        return [fault for fault in await asyncio.gather(*looks) if fault]


class Photograph:
    """A ledger at one moment. What is asked until `develop` may or may not be on a disk that was copied meanwhile."""

    def __init__(
        self, possible: dict[str, frozenset[str | None]], asked: list[tuple[str, str | None]], at: int
    ) -> None:
        self._possible = possible
        self._asked = asked
        self._at = at

    def develop(self) -> Ledger:
        """What must be found on a disk that was copied between taking the photograph and now."""
        possible = dict(self._possible)
        for path, outcome in self._asked[self._at :]:
            if path in possible:
                possible[path] |= {outcome}
        return Ledger(possible)


async def _pull(http: httpx.AsyncClient, path: str, like: str) -> str | None:
    """The digest of what is there, by its bytes; a HEAD or a header would only repeat what the rows say."""
    answer = await http.get(path, headers=ANY_TYPE)
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        return f"status {answer.status_code}: {answer.text}"
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, answer.content).hexdigest()}"
