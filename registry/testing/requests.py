"""What clients have sent and what they were answered, in the order in which it came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NoReturn, overload

from registry.testing.targets import Target, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_BYTES_MAX = 64 * 1024
"""How much of a request's body is kept."""
_LINES_FIRST = 20
_LINES_LAST = 80


@dataclass(eq=False)
class Request:
    """One request.

    `headers`: by lower-case name. `body`: the first 64 KiB. `bytes_in`, `bytes_out`: of the bodies. `status`: None
    while nothing was answered. `complete`: the answer was sent to its end. `faults`: those that struck.
    """

    target: Target
    query: str
    headers: Mapping[str, str]
    body: bytes = b""
    bytes_in: int = 0
    bytes_out: int = 0
    status: int | None = None
    complete: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def method(self) -> str:
        """GET, PUT and so on."""
        return self.target.method

    @property
    def path(self) -> str:
        """The path, decoded and without the query."""
        return self.target.path

    def json(self) -> Any:  # noqa: ANN401 (JSON of any shape)
        """The body, which has to be JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        outcome = (
            "no answer" if self.status is None else f"{self.status}{'' if self.complete else ', cut off'}"
        )
        query = f"?{self.query}" if self.query else ""
        faults = f"  <- {', '.join(self.faults)}" if self.faults else ""
        sizes = f"{self.bytes_in} bytes in, {self.bytes_out} out"
        return f"{self.method:6} {self.path}{query}  {outcome}  {sizes}{faults}"


class Requests(Sequence[Request]):
    """Requests in the order in which they came; `OciRegistry.requests` grows while a client works.

    >>> from registry import testing
    >>> from urllib.request import urlopen
    >>> with testing.serve() as oci:
    ...     with urlopen(f"{oci.url}/v2/") as answer:
    ...         pass
    ...     print(oci.requests.report())
    1  GET    /v2/  200  0 bytes in, 2 out
    """

    def __init__(self, requests: Sequence[Request] = ()) -> None:
        """Take requests to begin with."""
        self._requests = list(requests)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> Requests: ...
    def __getitem__(self, index: int | slice) -> Request | Requests:
        """One request, or a part of them."""
        return Requests(self._requests[index]) if isinstance(index, slice) else self._requests[index]

    def __len__(self) -> int:
        return len(self._requests)

    def __repr__(self) -> str:
        return f"<{len(self)} requests: {', '.join(f'{one.method} {one.status}' for one in self)}>"

    def to(  # noqa: PLR0913 (one for each thing that can be asked)
        self,
        method: str | None = None,
        *,
        path: str | None = None,
        repository: str | None = None,
        reference: str | None = None,
        blob: str | None = None,
        status: int | None = None,
    ) -> Requests:
        """Those that are so, as they are at this moment. `path` and `repository` may have `*`, `?` and `[...]`."""
        wanted = Wanted.of([method] if method else [], path, repository, reference, blob)
        return Requests([one for one in self if wanted.matches(one.target) and status in {None, one.status}])

    @property
    def methods(self) -> list[str]:
        """Their methods."""
        return [one.method for one in self]

    @property
    def statuses(self) -> list[int | None]:
        """What they were answered."""
        return [one.status for one in self]

    @property
    def bytes_in(self) -> int:
        """Bytes of their bodies."""
        return sum(one.bytes_in for one in self)

    @property
    def bytes_out(self) -> int:
        """Bytes of the bodies that they were answered with."""
        return sum(one.bytes_out for one in self)

    def clear(self) -> None:
        """Forget all of them."""
        self._requests.clear()

    def add(self, request: Request) -> None:
        """One more."""
        self._requests.append(request)

    def assert_count(self, count: int) -> None:
        """AssertionError, which shows them all, unless there are so many."""
        if len(self) != count:
            self._fail(f"{count} requests were expected, {len(self)} came")

    def assert_order(self, *expected: str) -> None:
        """AssertionError unless these came, in this order; others may have come between.

        Each is a method, or a method and a path with `*`: `"PATCH"`, `"PUT /v2/app/manifests/*"`.
        """
        rest = iter(self)
        for number, one in enumerate(expected, 1):
            if not any(_is(request, one) for request in rest):
                self._fail(
                    f"number {number} of the expected requests, {one!r}, did not come, or not in this order"
                )

    def behind(self, last: Request | None) -> Requests:
        """Those that came after `last`; all where it is None, or forgotten."""
        numbers = [number for number, one in enumerate(self, 1) if one is last]
        return self[numbers[-1] if numbers else 0 :]

    def report(self) -> str:
        """A line for each; of more than a hundred, the first 20 and the last 80."""
        width = len(str(len(self)))
        lines = [f"{number:{width}}  {one}" for number, one in enumerate(self, 1)]
        left_out = len(lines) - _LINES_FIRST - _LINES_LAST
        if left_out > 0:
            lines[_LINES_FIRST:-_LINES_LAST] = [f"... {left_out} more ..."]
        return "\n".join(lines) or "no requests"

    def _fail(self, reason: str) -> NoReturn:
        raise AssertionError(f"{reason}:\n{self.report()}")


def _is(request: Request, expected: str) -> bool:
    method, _, path = expected.partition(" ")
    return request.method == method.upper() and fnmatchcase(request.path, path or "*")
