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
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Self

from registry.testing.actions import (
    ANSWER,
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
    noting,
    truncated,
)
from registry.testing.layers import wrapped
from registry.testing.limited_store import Disk
from registry.testing.recorder import request_of
from registry.testing.targets import Wanted

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from registry.testing.actions import Action
    from registry.testing.layers import Layer
    from registry.testing.requests import Request
    from registry.testing.tokens import Tokens

ANOTHER_DIGEST = f"sha256:{'0' * 64}"
"""A well-formed digest of nothing."""


class Fault:
    """One fault. Every method returns it, so that they can be put in a row, whose order does not matter.

    Counts of bytes concern the body that moves: the request's of a POST, PUT or PATCH, the answer's of every other.
    `matched`: how many requests it was meant for; `struck`: how many of them it has really spoilt, which a cut behind
    the end of a body, for one, has not.
    """

    def __init__(self, wanted: Wanted, tokens: Tokens) -> None:
        self.matched = 0
        self.struck = 0
        self._wanted = wanted
        self._tokens = tokens
        self.pending = 0
        self.actions: dict[str, Action] = {}
        self._limits: list[str] = []
        self._times: int | None = None
        self._nth: int | None = None
        self._chance: tuple[float, random.Random] | None = None

    # --- what happens ---

    def answer(
        self, status: int, *, retry_after: int | None = None, headers: dict[str, str] | None = None
    ) -> Self:
        """This status (200 to 599); the registry is not asked.

        From 400 on with an error in the specification's form, below without a body. `retry_after`: seconds.
        """
        _require(200 <= status <= 599, f"a status is a number from 200 to 599, not {status}")  # noqa: PLR2004
        _require((retry_after or 0) >= 0, f"nobody can try again {retry_after} seconds later")
        more = {} if retry_after is None else {"retry-after": str(retry_after)}
        return self._does(f"answer({status})", Answer(status, more | (headers or {})))

    def slow_first_byte(self, seconds: float) -> Self:
        """The answer begins so much later."""
        _require(seconds > 0, f"seconds must be more than 0, not {seconds}")
        return self._does(f"slow_first_byte({seconds})", SlowFirstByte(seconds))

    def slow_bytes(self, per_second: int) -> Self:
        """The body crawls."""
        _require(per_second > 0, f"per_second must be more than 0, not {per_second}")
        return self._does(f"slow_bytes({per_second})", SlowBytes(per_second))

    def cut_after(self, size: int) -> Self:
        """The connection ends in an orderly way (FIN) after so many bytes, though more were announced."""
        _require(size >= 0, f"size must be 0 or more, not {size}")
        return self._does(f"cut_after({size})", Cut(size, reset=False))

    def reset_after(self, size: int) -> Self:
        """The connection breaks (RST, `ECONNRESET` for the client) after so many bytes."""
        _require(size >= 0, f"size must be 0 or more, not {size}")
        return self._does(f"reset_after({size})", Cut(size, reset=True))

    def truncate(self, size: int) -> Self:
        """Only so many bytes arrive, and they are announced as all there is."""
        _require(size >= 0, f"size must be 0 or more, not {size}")
        return self._does(f"truncate({size})", Changed(truncated(size), size))

    def corrupt(self, at: int = 0) -> Self:
        """One byte arrives changed: the one in this place."""
        _require(at >= 0, f"at must be 0 or more, not {at}")
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
        """So many bytes of blobs, of all requests together, still fit; the registry finds that out and answers 507.

        Manifests go on to be taken: they lie in the database, which is another disk.
        """
        _require(after >= 0, f"after must be 0 or more, not {after}")
        return self._does(f"disk_full({after})", DiskFull(Disk(after)))

    # --- how often ---

    def times(self, count: int) -> Self:
        """At most so often."""
        _require(count > 0, f"count must be more than 0, not {count}")
        self._times = count
        return self._limited(f"{count} times")

    def nth(self, number: int) -> Self:
        """Only the request with this number among those that match, counted from 1."""
        _require(number > 0, f"number must be more than 0, not {number}")
        self._nth = number
        return self._limited(f"number {number}")

    def probability(self, chance: float, *, seed: int = 0) -> Self:
        """By chance (0 to 1), but every time the same way for the same seed."""
        _require(0 <= chance <= 1, f"a chance is a number from 0 to 1, not {chance}")
        self._chance = chance, random.Random(seed)  # noqa: S311 (no secret)
        return self._limited(f"with probability {chance}")

    @property
    def answers(self) -> bool:
        """Whether it answers in the registry's place."""
        return any(action.place == ANSWER for action in self.actions.values())

    def meet(self, request: Request, *, answered: bool) -> Strike | None:
        """What it is going to do to this request, None where nothing; asked once for each.

        `answered`: another fault answers already, so that one that would has to wait for its turn.
        """
        if not self._wanted.matches(request.target):
            return None
        self.matched += 1
        if self._nth not in {None, self.matched}:
            return None
        if self._times is not None and self.struck + self.pending >= self._times:
            return None
        if self._chance and self._chance[1].random() >= self._chance[0]:
            return None
        return None if answered and self.answers else Strike(self, request)

    def __str__(self) -> str:
        does = ", ".join([" ".join(self.actions) or "nothing", *self._limits])
        return f"{self._wanted} -> {does} (struck {self.struck} of {self.matched})"

    __repr__ = __str__

    def _does(self, name: str, action: Action) -> Self:
        self.actions[name] = action
        return self

    def _limited(self, words: str) -> Self:
        self._limits.append(words)
        return self


class Strike:
    """A fault and one request, which it may be about to spoil; until that is known, it counts for `times`."""

    def __init__(self, fault: Fault, request: Request) -> None:
        self._fault = fault
        self._request = request
        self._struck = False
        self._open = True
        fault.pending += 1

    def layers(self) -> list[tuple[int, Layer]]:
        """The actions, with their places."""
        return [
            (action.place, noting(action, partial(self._note, name)))
            for name, action in self._fault.actions.items()
        ]

    def end(self) -> None:
        """No more of the request can be spoilt."""
        self._fault.pending -= self._open
        self._open = False

    def _note(self, name: str) -> None:
        if name not in self._request.faults:
            self._request.faults.append(name)
        if not self._struck:
            self._struck = True
            self._fault.struck += 1
            self.end()


class Faults:
    """The faults of a registry; where several strike one request, all of them do.

    But only one can answer in the registry's place: the first that was registered; another waits for the next request.
    """

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
        the digest of a blob, also of one that is about to be pushed, where the request says so. The PATCH that carries
        the bytes of most pushes does not: that one is `on("PATCH", repository=...)`.
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
        strikes = self._strikes(request_of(scope))
        layers = sorted((layer for one in strikes for layer in one.layers()), key=itemgetter(0))

        async def send_and_end(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                for strike in strikes:
                    strike.end()  # before the client knows: its next request finds the counts right
            await send(message)

        try:
            await wrapped(app, [layer for _, layer in layers])(scope, receive, send_and_end)
        finally:
            for strike in strikes:
                strike.end()

    def _strikes(self, request: Request) -> list[Strike]:
        strikes: list[Strike] = []
        answered = False
        for fault in list(self._faults):
            strike = fault.meet(request, answered=answered)
            if strike is not None:
                strikes.append(strike)
                answered = answered or fault.answers
        return strikes


def _require(true: bool, message: str) -> None:  # noqa: FBT001 (what has to be true)
    """ValueError in the line of the test that gave the wrong number."""
    if not true:
        raise ValueError(message)
