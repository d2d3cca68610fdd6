"""Faults on request: which requests, what happens to them, and how often.

>>> from registry import testing
>>> with testing.serve() as oci:
...     image = oci.push_image("app:1")
...     fault = oci.faults.on("GET", blob=image.layers[0].digest).cut_after(1000).times(2)
...     print(fault)
GET blob=sha256:... -> cut_after(1000), 2 times (struck 0 of 0)
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Self

from registry.testing.actions import (
    Answer,
    Changed,
    Cut,
    DigestHeader,
    DiskFull,
    ExpiredToken,
    LoseAnswer,
    SlowBytes,
    SlowFirstByte,
    corrupted,
    truncated,
)
from registry.testing.layers import wrapped
from registry.testing.recorder import request_of
from registry.testing.targets import Wanted

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from registry.testing.layers import Layer
    from registry.testing.targets import Target
    from registry.testing.tokens import Tokens

ANOTHER_DIGEST = f"sha256:{'0' * 64}"
"""A well-formed digest of nothing."""


class Fault:
    """One fault. Every method returns it, so that they can be put in a row; what was given first acts first.

    Counts of bytes concern the body that moves: the request's of a POST, PUT or PATCH, the answer's of every other.
    `matched`: how many requests it was meant for; `struck`: how many of them it has spoilt.
    """

    def __init__(self, wanted: Wanted, tokens: Tokens) -> None:
        self.matched = 0
        self.struck = 0
        self._wanted = wanted
        self._tokens = tokens
        self._actions: list[Layer] = []
        self._names: list[str] = []
        self._limits: list[str] = []
        self._times: int | None = None
        self._nth: int | None = None
        self._chance: tuple[float, random.Random] | None = None

    # --- what happens ---

    def answer(
        self, status: int, *, retry_after: int | None = None, headers: dict[str, str] | None = None
    ) -> Self:
        """This status (429, 503 ...) with an error in the specification's form; the registry is not asked.

        `retry_after`: seconds.
        """
        more = {} if retry_after is None else {"retry-after": str(retry_after)}
        return self._does(f"answer({status})", Answer(status, more | (headers or {})))

    def slow_first_byte(self, seconds: float) -> Self:
        """The answer begins so much later."""
        return self._does(f"slow_first_byte({seconds})", SlowFirstByte(seconds))

    def slow_bytes(self, per_second: int) -> Self:
        """The body crawls."""
        return self._does(f"slow_bytes({per_second})", SlowBytes(per_second))

    def cut_after(self, size: int) -> Self:
        """The connection ends in an orderly way (FIN) after so many bytes, though more were announced."""
        return self._does(f"cut_after({size})", Cut(size, reset=False))

    def reset_after(self, size: int) -> Self:
        """The connection breaks (RST, `ECONNRESET` for the client) after so many bytes."""
        return self._does(f"reset_after({size})", Cut(size, reset=True))

    def truncate(self, size: int) -> Self:
        """Only so many bytes arrive, and they are announced as all there is."""
        return self._does(f"truncate({size})", Changed(truncated(size), size))

    def corrupt(self, at: int = 0) -> Self:
        """One byte arrives changed: the one in this place."""
        return self._does(f"corrupt({at})", Changed(corrupted(at)))

    def without_digest_header(self) -> Self:
        """The answer has no Docker-Content-Digest."""
        return self._does("without_digest_header()", DigestHeader(None))

    def wrong_digest_header(self, digest: str = ANOTHER_DIGEST) -> Self:
        """The answer's Docker-Content-Digest is another."""
        return self._does("wrong_digest_header()", DigestHeader(digest))

    def lose_answer(self) -> Self:
        """The registry does what was asked, and the connection breaks before it can say so."""
        return self._does("lose_answer()", LoseAnswer())

    def expired_token(self) -> Self:
        """The token in the request is over: 401 with `error="invalid_token"`, and where to get a new one."""
        return self._does("expired_token()", ExpiredToken(self._tokens))

    def disk_full(self, after: int = 0) -> Self:
        """So many bytes of blobs still fit on the disk; the registry finds that out and answers 507."""
        return self._does(f"disk_full({after})", DiskFull(after))

    # --- how often ---

    def times(self, count: int) -> Self:
        """At most so often."""
        self._times = count
        return self._limited(f"{count} times")

    def nth(self, number: int) -> Self:
        """Only the request with this number among those that match, counted from 1."""
        self._nth = number
        return self._limited(f"number {number}")

    def probability(self, chance: float, *, seed: int = 0) -> Self:
        """By chance (0 to 1), but every time the same way for the same seed."""
        self._chance = chance, random.Random(seed)  # noqa: S311 (no secret)
        return self._limited(f"with probability {chance}")

    def strikes(self, target: Target) -> bool:
        """Whether it strikes this request; asked once for each."""
        if not self._wanted.matches(target):
            return False
        self.matched += 1
        if self._nth not in {None, self.matched} or (self._times is not None and self.struck >= self._times):
            return False
        if self._chance and self._chance[1].random() >= self._chance[0]:
            return False
        self.struck += 1
        return True

    def before(self, app: ASGIApp) -> ASGIApp:
        """The application as the spoilt request meets it."""
        return wrapped(app, reversed(self._actions))

    @property
    def actions(self) -> list[str]:
        """What it does, in words."""
        return self._names

    def __str__(self) -> str:
        does = ", ".join([" ".join(self._names) or "nothing", *self._limits])
        return f"{self._wanted} -> {does} (struck {self.struck} of {self.matched})"

    __repr__ = __str__

    def _does(self, name: str, action: Layer) -> Self:
        self._names.append(name)
        self._actions.append(action)
        return self

    def _limited(self, words: str) -> Self:
        self._limits.append(words)
        return self


class Faults:
    """The faults of a registry; where several strike one request, all of them do."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._faults: list[Fault] = []

    def on(
        self,
        *methods: str,
        path: str | None = None,
        repository: str | None = None,
        reference: str | None = None,
        blob: str | None = None,
    ) -> Fault:
        """A fault for requests that are all of this; it does nothing until it is told what.

        `path` and `repository` may have `*`, `?` and `[...]`; `reference` is the tag or digest of a manifest, `blob`
        the digest of a blob, also of one that is about to be pushed.
        """
        fault = Fault(Wanted.of(methods, path, repository, reference, blob), self._tokens)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """From now on all goes well."""
        self._faults.clear()

    def assert_struck(self) -> None:
        """AssertionError where a fault never struck, so that it proved nothing."""
        idle = [str(fault) for fault in self._faults if not fault.struck]
        if idle:
            raise AssertionError("\n".join(["these faults never struck:", *idle]))

    def report(self) -> str:
        """A line for each."""
        return "\n".join(str(fault) for fault in self._faults)

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """See Layer."""
        request = request_of(scope)
        for fault in [fault for fault in self._faults if fault.strikes(request.target)]:
            app = fault.before(app)
            request.faults += fault.actions
        await app(scope, receive, send)
