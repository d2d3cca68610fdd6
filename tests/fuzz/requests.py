"""Makes requests that no client would send, by spoiling those that clients do send. The seed decides all of it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode

from tests.support.content import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    NOWHERE,
    OCI_ARTIFACT,
    OCI_IMAGE,
    OCI_INDEX,
    Manifest,
    artifact,
    blob,
    digest_of,
    image,
    index,
)

MIB = 1024 * 1024

NAMES = ["a", "team/app", "a/b/c", "x/tags", "a/blobs", "a/blobs/uploads", "manifests", "a__b.c-d", "a" * 255]
BAD_NAMES = [
    "A",
    "a//b",
    "a/",
    "../a",
    "a/..",
    "é",
    "a\0b",
    "a\nb",
    "_",
    "a" * 256,
    " ",
    "%2e",
    "\ud7ff\U0010ffff",
]
TAGS = ["latest", "v1", "_", "a" * 128]
BAD_TAGS = ["", "-", ".", "..", "a" * 129, "é", "\0", "a b", "a:b", ":", "sha256:", "@", "\n"]
BAD_DIGESTS = [
    "sha256:abc",
    f"sha256:{'A' * 64}",
    f"sha512:{'0' * 64}",
    f"md5:{'0' * 32}",
    "sha256:" + "0" * 65,
    "a+b.c:x=_-",
    "x" * 600 + ":y",
    "sha256:" + "\uff10" * 64,
]
NUMBERS = [
    "0",
    "1",
    "-1",
    "9",
    "4294967296",
    "9" * 18,
    "9" * 19,
    "9" * 400,
    "1e3",
    "0x1",
    "٣",
    "²",
    "",
    " 1",
    "+1",
    "1.5",
]
RANGES = [
    "{a}-{b}",
    "bytes={a}-{b}",
    "bytes={a}-",
    "bytes=-{b}",
    "bytes={a}-{b},{b}-{a}",
    "bytes {a}-{b}/*",
    "{a}",
    "-",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "CONNECT"]
MEDIA_TYPES = [
    OCI_IMAGE,
    OCI_INDEX,
    OCI_ARTIFACT,
    DOCKER_IMAGE,
    DOCKER_LIST,
    "application/json",
    "a/b; c=d",
    ";",
    "x" * 300,
]
PARAMETERS = [
    "digest",
    "mount",
    "from",
    "tag",
    "n",
    "last",
    "artifactType",
    "digest-algorithm",
    "ns",
    "",
    "n[]",
    "state",
]
HEADERS = [
    "accept",
    "accept-encoding",
    "authorization",
    "content-range",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
    "transfer-encoding",
    "x-forwarded-for",
    "x-request-id",
]
NODES: list[Any] = [
    None,
    True,
    0,
    -1,
    2,
    2**63,
    10**400,
    1.5,
    1e308,
    "",
    "\0",
    "\ud800",
    "é\u2028\U0001f600",
    "x" * 300,
    NOWHERE,
    "sha256:abc",
    OCI_INDEX,
    [],
    {},
    [[]],
    {"": {}},
    {"mediaType": "a/b", "digest": NOWHERE, "size": 0},
]


@dataclass(frozen=True)
class Request:
    """A request as a server hands it to the application: the path is decoded, the query is not."""

    method: str
    path: str
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: tuple[bytes, ...] = (b"",)
    then: Literal["end", "silence", "hang-up"] = "end"

    @property
    def content(self) -> bytes:
        """The whole body."""
        return b"".join(self.body)


@dataclass
class Generator:
    """Valid requests about a small world, most of them spoilt in one to three places."""

    random: random.Random
    uploads: list[str] = field(default_factory=list)
    """Paths of uploads that were started; the test adds to them."""

    def __post_init__(self) -> None:
        app = image("app")
        self.blobs = [
            blob("base"),
            blob("code"),
            blob(""),
            blob("long", 5000),
            blob("s", algorithm="sha512"),
            *app.blobs,
        ]
        self.manifests = [
            app,
            index(),
            index([app]),
            artifact("sbom", app, artifactType="application/vnd.example+json", annotations={"a": "b"}),
            index(subject=app),
            image("docker", media_type=DOCKER_IMAGE),
            app.by("sha512"),
        ]

    def request(self) -> Request:
        """The next request."""
        request = self.random.choice(VALID)(self)
        if self.random.random() < 0.25:
            return request
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            request = self.random.choice(SPOIL)(self, request)
        return request

    # --- the world ---

    def name(self) -> str:
        """A repository; hardly ever an invalid one, which would hide everything behind it."""
        return self.one_of(BAD_NAMES) if self.random.random() < 0.05 else self.one_of(NAMES)

    def one_of(self, choices: list[str]) -> str:
        """One of these."""
        return self.random.choice(choices)

    def digest(self) -> str:
        """A digest of something, of nothing, or none."""
        known = [each.digest for each in (*self.blobs, *self.manifests)]
        return self.one_of([*known, *known, NOWHERE, *BAD_DIGESTS])

    def text(self, alphabet: str | None = None) -> str:
        """A few characters of any kind."""
        letters = alphabet or "aA0/.:-_%&=?#*\\\"'<>;,+ \t\0\n\r\x7f\x80é\u202e\u2028\ud7ff\uffff\U0001f600"
        return "".join(self.random.choices(letters, k=self.random.choice([0, 1, 2, 3, 8, 40])))

    def value(self) -> str:
        """Something that could stand in a query or a header."""
        return self.random.choice(
            [
                self.digest,
                self.name,
                self.text,
                self.range,
                lambda: self.one_of(NUMBERS),
                lambda: self.one_of(TAGS + BAD_TAGS),
                lambda: self.one_of(MEDIA_TYPES),
                lambda: "x" * self.random.choice([256, 5000]),
            ]
        )()

    def range(self) -> str:
        """A range in one form or another."""
        numbers = NUMBERS if self.random.random() < 0.3 else [str(self.random.randrange(8)) for _ in range(2)]
        return self.one_of(RANGES).format(a=self.one_of(numbers), b=self.one_of(numbers))

    def upload(self) -> str:
        """The path of an upload that exists, or does not."""
        if self.uploads and self.random.random() < 0.8:
            return self.one_of(self.uploads[-20:])
        return f"/v2/{self.name()}/blobs/uploads/{self.random.randbytes(16).hex()}"


# --- what clients send ---


def _pull_manifest(make: Generator) -> Request:
    reference = make.one_of([*TAGS, make.digest()])
    return Request(make.one_of(["GET", "HEAD", "DELETE"]), f"/v2/{make.name()}/manifests/{reference}")


def _push_manifest(make: Generator) -> Request:
    manifest = make.random.choice(make.manifests)
    query = b"&".join(b"tag=" + tag.encode() for tag in TAGS[: make.random.choice([0, 0, 1, 3])])
    reference = make.one_of([*TAGS, manifest.digest])
    headers = ((b"content-type", manifest.media_type.encode()),)
    return Request("PUT", f"/v2/{make.name()}/manifests/{reference}", query, headers, (manifest.content,))


def _push_new_manifest(make: Generator) -> Request:
    """A manifest whose JSON was changed somewhere, under its right digest: its framing is valid, its content is not."""
    manifest = make.random.choice(make.manifests)
    document = _changed(make, manifest.document)
    content = json.dumps(document, ensure_ascii=make.random.random() < 0.9).encode("utf-8", "surrogatepass")
    new = Manifest(content, manifest.media_type)
    reference = make.one_of([*TAGS, new.digest])
    headers = ((b"content-type", new.media_type.encode()),)
    return Request("PUT", f"/v2/{make.name()}/manifests/{reference}", b"", headers, (content,))


def _pull_blob(make: Generator) -> Request:
    method = make.one_of(["GET", "GET", "GET", "HEAD", "DELETE"])
    headers = ((b"range", make.range().encode()),) if make.random.random() < 0.5 else ()
    digest = make.one_of([make.random.choice(make.blobs).digest, make.digest()])
    return Request(method, f"/v2/{make.name()}/blobs/{digest}", b"", headers)


def _push_blob(make: Generator) -> Request:
    content = make.random.choice(make.blobs)
    query = urlencode({"digest": content.digest}).encode()
    return Request("POST", f"/v2/{make.name()}/blobs/uploads/", query, (), (content.content,))


def _mount(make: Generator) -> Request:
    query = {"mount": make.digest(), "from": make.name()}
    if make.random.random() < 0.3:
        del query["from"]
    return Request("POST", f"/v2/{make.name()}/blobs/uploads/", urlencode(query, errors="replace").encode())


def _start(make: Generator) -> Request:
    query = make.random.choice([b"", b"", b"digest-algorithm=sha512"])
    return Request("POST", f"/v2/{make.name()}/blobs/uploads/", query)


def _go_on(make: Generator) -> Request:
    content = make.random.choice(make.blobs)
    method = make.one_of(["PATCH", "PATCH", "PUT", "GET", "DELETE"])
    query = urlencode({"digest": content.digest}).encode() if method == "PUT" else b""
    right = f"0-{len(content.content) - 1}"
    given = make.one_of([right, right, make.range()])
    headers = ((b"content-range", given.encode()),) if make.random.random() < 0.4 else ()
    body = b"" if method in {"GET", "DELETE"} else content.content
    return Request(method, make.upload(), query, headers, (body,))


def _list(make: Generator) -> Request:
    path = make.one_of(
        [f"/v2/{make.name()}/tags/list", f"/v2/{make.name()}/referrers/{make.digest()}", "/v2/_catalog"]
    )
    query = {"n": make.one_of(NUMBERS), "last": make.value(), "artifactType": make.one_of(MEDIA_TYPES)}
    kept = {key: value for key, value in query.items() if make.random.random() < 0.4}
    return Request(make.one_of(["GET", "GET", "HEAD"]), path, urlencode(kept, errors="replace").encode())


def _other(make: Generator) -> Request:
    return Request(
        "GET", make.one_of(["/", "/v2", "/v2/", "/healthz", "/readyz", "/v2/_catalog", make.text()])
    )


VALID: list[Callable[[Generator], Request]] = [
    _pull_manifest,
    _push_manifest,
    _push_new_manifest,
    _pull_blob,
    _push_blob,
    _mount,
    _start,
    _go_on,
    _go_on,
    _list,
    _other,
]


# --- what goes wrong with it ---


def _other_method(make: Generator, request: Request) -> Request:
    return replace(request, method=make.one_of(METHODS))


def _spoilt_path(make: Generator, request: Request) -> Request:
    path = request.path
    place, end = sorted(make.random.randrange(len(path) + 1) for _ in range(2))
    segments = path.split("/")
    make.random.shuffle(segments)
    changed = make.random.choice(
        [
            path[:place] + make.text() + path[place:],
            path[:place] + path[end:],
            path[:place] + make.text() + path[end:],
            path + "/" + make.value(),
            path[:end] + path[place:],
            "/".join(segments),
            path.upper(),
            path + "/" * make.random.choice([1, 5000]),
        ]
    )
    return replace(request, path="/" + changed.removeprefix("/"))


def _more_query(make: Generator, request: Request) -> Request:
    pairs = [(make.one_of(PARAMETERS), make.value()) for _ in range(make.random.choice([1, 1, 2, 30]))]
    return replace(request, query=request.query + b"&" + urlencode(pairs, errors="replace").encode())


def _spoilt_query(make: Generator, request: Request) -> Request:
    junk = make.random.choice(
        [b"%", b"%zz", b"%00", b"%FF%FE", b"&&==", b"=", b"\x80\xff", make.random.randbytes(9)]
    )
    place = make.random.randrange(len(request.query) + 1)
    return replace(request, query=request.query[:place] + junk + request.query[place:])


def _more_headers(make: Generator, request: Request) -> Request:
    name = make.one_of(HEADERS).encode()
    # what a server lets through: no line ends, no NUL
    value = make.value().encode("utf-8", "replace").translate(None, bytes([*range(9), *range(10, 32), 127]))
    return replace(request, headers=(*request.headers, (name, value)))


def _no_headers(make: Generator, request: Request) -> Request:
    return replace(request, headers=request.headers[1:])


def _announced_length(make: Generator, request: Request) -> Request:
    length = make.random.choice([len(request.content), 0, 1, 10**6, 10**19])
    return replace(request, headers=(*request.headers, (b"content-length", str(length).encode())))


def _other_body(make: Generator, request: Request) -> Request:
    content = bytearray(request.content)
    match make.random.randrange(6):
        case 0 if content:
            content[make.random.randrange(len(content))] ^= 1 << make.random.randrange(8)
        case 1:
            content += make.random.randbytes(make.random.choice([1, 100, 70_000]))
        case 2:
            del content[make.random.randrange(len(content) + 1) :]
        case 3:
            content = bytearray(
                make.random.choice([b"", b"{}", b"[" * 50_000, b'{"a":' * 50_000, b"null", b"\xef\xbb\xbf{}"])
            )
        case 4:
            content = bytearray(make.random.choice(make.manifests).content)
        case _:
            content = bytearray(make.random.choice(make.blobs).content)
    return replace(request, body=(bytes(content),))


def _large_body(make: Generator, request: Request) -> Request:
    return replace(request, body=(bytes(MIB),) * 5) if make.random.random() < 0.05 else request


def _in_pieces(make: Generator, request: Request) -> Request:
    content, pieces = request.content, []
    while content:
        size = make.random.choice([0, 1, 7, 1000, 100_000])
        pieces.append(content[:size])
        content = content[size:]
    return replace(request, body=tuple(pieces) or (b"",))


def _cut_off(make: Generator, request: Request) -> Request:
    return replace(request, then=make.random.choice(["silence", "hang-up", "hang-up"]))


def _its_own_digest(make: Generator, request: Request) -> Request:
    """Names the body as it is, so that it comes through whatever else is odd."""
    digest = digest_of(request.content, make.one_of(["sha256", "sha512"]))
    if "/manifests/" in request.path:
        return replace(request, path=f"{request.path.rpartition('/')[0]}/{digest}")
    return replace(request, query=b"digest=" + quote(digest).encode())


SPOIL: list[Callable[[Generator, Request], Request]] = [
    _other_method,
    _spoilt_path,
    _spoilt_path,
    _more_query,
    _spoilt_query,
    _more_headers,
    _more_headers,
    _no_headers,
    _announced_length,
    _other_body,
    _other_body,
    _large_body,
    _in_pieces,
    _cut_off,
    _its_own_digest,
]


def _changed(make: Generator, node: Any) -> Any:
    """The document with one node of it, at any depth, replaced, renamed, doubled or taken away."""
    if isinstance(node, dict) and node and make.random.random() < 0.8:
        key = make.random.choice([*node])
        match make.random.randrange(8):
            case 0:
                return {name: value for name, value in node.items() if name != key}
            case 1:
                return {**node, make.text(): make.random.choice(NODES)}
            case 2:
                more = make.one_of(
                    ["mediaType", "manifests", "layers", "config", "subject", "annotations", "artifactType"]
                )
                return {**node, more: make.random.choice(NODES)}
            case _:
                return {**node, key: _changed(make, node[key])}
    if isinstance(node, list) and node and make.random.random() < 0.8:
        place = make.random.randrange(len(node))
        return [*node[:place], _changed(make, node[place]), *node[place + make.random.randrange(2) :]]
    return make.random.choice(NODES)


def fingerprint(requests: list[Request]) -> str:
    """What the seed has led to, in short: the same on every run."""
    return hashlib.sha256(repr(requests).encode("utf-8", "surrogatepass")).hexdigest()
