"""Users in an htpasswd file."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import bcrypt
import pytest

from registry.auth import htpasswd
from registry.auth.htpasswd import Htpasswd, HtpasswdInvalid, read
from registry.oci.access import Anonymous, User
from registry.oci.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

ROUNDS: Final = 4  # the fewest: these tests are about who, not about how costly


def entry(name: str | bytes, password: str | bytes, prefix: bytes = b"2y") -> bytes:
    """A line as `htpasswd -nB` writes it."""
    name = name.encode() if isinstance(name, str) else name
    password = password.encode() if isinstance(password, str) else password
    hashed = bcrypt.hashpw(password, bcrypt.gensalt(ROUNDS, prefix=b"2b"))
    return name + b":$" + prefix + hashed[3:]


def basic(name: str, password: str) -> str:
    """The header that a client sends."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


ALICE: Final = entry("alice", "wonderland")
BOB: Final = entry("bob", "builder")
HASHED: Final = b"$2y$04$" + b"." * 53


class Checks:
    """Counts the passwords that are really checked, and says in which threads that was."""

    def __init__(self) -> None:
        self.count = 0
        self.threads: set[int] = set()
        self._check = bcrypt.checkpw

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self.count += 1
        self.threads.add(threading.get_ident())
        return self._check(password, hashed)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    """Count them."""
    checks = Checks()
    monkeypatch.setattr(bcrypt, "checkpw", checks)
    return checks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file with two users."""
    return write(tmp_path / "htpasswd", ALICE, BOB)


@pytest.fixture
def users(file: Path) -> Iterator[Htpasswd]:
    """Give its users."""
    with closing(Htpasswd(file, realm="Registry", cache_seconds=60)) as users:
        yield users


def write(file: Path, *lines: bytes) -> Path:
    """Replace the file, as an editor does: its name never leads to half of it."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(b"\n".join(lines) + b"\n")
    return fresh.rename(file)


async def refused(users: Htpasswd, name: str, password: str) -> bool:
    """Whether the credentials are wrong."""
    try:
        await users.identify(basic(name, password))
    except Unauthorized as error:
        assert error.message == "user name or password is wrong"  # the same, whichever of them it is
        return True
    return False


# Who is who


async def test_right_password(users: Htpasswd) -> None:
    """Who gives the right password is that user, time and again."""
    for _ in range(2):
        assert await users.identify(basic("alice", "wonderland")) == User("alice")
    assert await users.identify(basic("bob", "builder")) == User("bob")


async def test_no_credentials(users: Htpasswd, checks: Checks) -> None:
    """Who gives no credentials is anonymous, which is not yet an error."""
    assert await users.identify(None) == Anonymous()
    assert checks.count == 0


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "builder"),
        ("alice", ""),
        ("alice", "wonderland "),
        ("alice", "Wonderland"),
        ("Alice", "wonderland"),
        ("carol", "wonderland"),
        ("", ""),
        ("alice", "wonderland\0"),
        ("alice", "\0"),
    ],
)
async def test_wrong_credentials(users: Htpasswd, name: str, password: str) -> None:
    """Who gives anything else is refused, even after the right password was seen."""
    assert not await refused(users, "alice", "wonderland")
    assert await refused(users, name, password)


@pytest.mark.parametrize("prefix", [b"2y", b"2b", b"2a"])
async def test_prefixes(tmp_path: Path, prefix: bytes) -> None:
    """Each of bcrypt's prefixes is understood; Apache's htpasswd writes $2y$."""
    file = write(tmp_path / "htpasswd", entry("alice", "wonderland", prefix))
    with closing(Htpasswd(file, realm="Registry", cache_seconds=60)) as users:
        assert not await refused(users, "alice", "wonderland")
        assert await refused(users, "alice", "builder")


async def test_names_and_passwords_of_any_letters(tmp_path: Path) -> None:
    """Names and passwords are UTF-8, as clients send them."""
    file = write(tmp_path / "htpasswd", entry("älice", "пароль: 密码"))
    with closing(Htpasswd(file, realm="Registry", cache_seconds=60)) as users:
        assert await users.identify(basic("älice", "пароль: 密码")) == User("älice")


async def test_password_of_72_bytes(tmp_path: Path) -> None:
    """The longest password that bcrypt knows is taken; a longer one is refused, not cut off."""
    file = write(tmp_path / "htpasswd", entry("alice", "x" * 72), entry("bob", "é" * 36))
    with closing(Htpasswd(file, realm="Registry", cache_seconds=60)) as users:
        assert not await refused(users, "alice", "x" * 72)
        assert not await refused(users, "bob", "é" * 36)
        assert await refused(users, "alice", "x" * 73)
        assert await refused(users, "alice", "x" * 100_000)
        assert await refused(users, "bob", "é" * 37)


async def test_challenge(file: Path) -> None:
    """The challenge names the realm."""
    with closing(Htpasswd(file, realm="Our images", cache_seconds=60)) as users:
        assert users.challenge == 'Basic realm="Our images"'


@pytest.mark.parametrize("header", ["Bearer abc", "Basic ???"])
async def test_headers_of_other_kinds(users: Htpasswd, checks: Checks, header: str) -> None:
    """What is no Basic header is refused before any password is checked."""
    with pytest.raises(Unauthorized):
        await users.identify(header)
    assert checks.count == 0


# What a guess costs


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("carol", "wonderland"),
        ("carol", "x" * 100),
        ("alice", "x" * 100),
        ("alice", "a\0b"),
    ],
)
async def test_every_guess_costs_one_check(users: Htpasswd, checks: Checks, name: str, password: str) -> None:
    """A wrong password, an unknown user, a password that cannot be right: all cost one check of the same price."""
    for count in (1, 2):  # and no failure is remembered
        assert await refused(users, name, password)
        assert checks.count == count


async def test_unknown_users_cost_what_most_cost(file: Path) -> None:
    """The check of an unknown user is as dear as that of most users."""
    with closing(Htpasswd(file, realm="Registry", cache_seconds=60)) as users:
        assert users._nobody[4:6] == b"04"


async def test_checks_run_off_the_loop(users: Htpasswd, checks: Checks) -> None:
    """Passwords are checked in other threads, a few of them however many ask."""
    await asyncio.gather(*(refused(users, f"user{number}", "x") for number in range(20)))
    assert checks.count == 20
    assert threading.get_ident() not in checks.threads
    assert len(checks.threads) <= 2


# The cache


async def test_cache(users: Htpasswd, checks: Checks) -> None:
    """A password that was right is not checked again for a while; another one for the same user is."""
    for _ in range(3):
        await users.identify(basic("alice", "wonderland"))
    assert checks.count == 1
    assert await refused(users, "alice", "builder")
    assert checks.count == 2


async def test_cache_ends(users: Htpasswd, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that the operator set, the password is checked again."""
    await users.identify(basic("alice", "wonderland"))
    now = time.monotonic()
    monkeypatch.setattr(htpasswd.time, "monotonic", lambda: now + 61)
    await users.identify(basic("alice", "wonderland"))
    assert checks.count == 2


async def test_cache_can_be_switched_off(file: Path, checks: Checks) -> None:
    """With no seconds to cache for, every request is checked."""
    with closing(Htpasswd(file, realm="Registry", cache_seconds=0)) as users:
        for _ in range(2):
            await users.identify(basic("alice", "wonderland"))
    assert checks.count == 2


async def test_cache_holds_no_passwords(users: Htpasswd) -> None:
    """What is kept in memory tells neither names nor passwords."""
    await users.identify(basic("alice", "wonderland"))
    kept = repr(users._cache)
    assert len(users._cache) == 1
    assert "alice" not in kept
    assert "wonderland" not in kept


async def test_cache_is_bounded(users: Htpasswd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache does not grow without end."""
    monkeypatch.setattr(htpasswd, "_CACHE_ENTRIES_MAX", 1)
    for name, password in [("alice", "wonderland"), ("bob", "builder"), ("alice", "wonderland")]:
        await users.identify(basic(name, password))
        assert len(users._cache) == 1


# The file changes


async def test_changed_password(users: Htpasswd, file: Path) -> None:
    """After a change, the new password is right and the old one wrong at once, whatever was cached."""
    assert not await refused(users, "alice", "wonderland")
    write(file, entry("alice", "looking glass"), BOB)
    assert await refused(users, "alice", "wonderland")
    assert not await refused(users, "alice", "looking glass")
    assert not await refused(users, "bob", "builder")


async def test_removed_user(users: Htpasswd, file: Path) -> None:
    """A user who is taken out is refused at once, though the password was just seen to be right."""
    assert not await refused(users, "alice", "wonderland")
    write(file, BOB)
    assert await refused(users, "alice", "wonderland")


async def test_added_user(users: Htpasswd, file: Path) -> None:
    """A user who is put in is known at once."""
    assert await refused(users, "carol", "singer")
    write(file, ALICE, BOB, entry("carol", "singer"))
    assert not await refused(users, "carol", "singer")


async def test_change_in_place(users: Htpasswd, file: Path) -> None:
    """A file that is written over, with the same length, is noticed by its time."""
    assert not await refused(users, "alice", "wonderland")
    modified = file.stat().st_mtime_ns
    file.write_bytes(b"\n".join([entry("alice", "looking glass"), BOB]) + b"\n")
    os.utime(file, ns=(modified + 1, modified + 1))
    assert await refused(users, "alice", "wonderland")


@pytest.mark.parametrize("content", [b"carol:not a hash\n", b"carol\n", b"carol:$2y$04$short\n", None])
async def test_broken_change(users: Htpasswd, file: Path, content: bytes | None) -> None:
    """A file that becomes unusable, or goes away, changes nothing: those known stay, nobody new comes in."""
    if content is None:
        file.unlink()
    else:
        write(file, ALICE, content)
    assert not await refused(users, "alice", "wonderland")
    assert not await refused(users, "bob", "builder")
    assert await refused(users, "carol", "singer")
    write(file, ALICE)
    assert await refused(users, "bob", "builder")


# What a file may hold


def test_comments_and_empty_lines(tmp_path: Path) -> None:
    """Comments, empty lines, spaces around an entry and Windows line ends do not matter."""
    file = write(tmp_path / "htpasswd", b"# users", b"", b"   ", ALICE + b"\r", b"  " + BOB + b"\t", b"#x:y")
    assert set(read(file)) == {"alice", "bob"}


def test_no_users(tmp_path: Path) -> None:
    """A file without users is a file that lets nobody in, not an error."""
    assert read(write(tmp_path / "htpasswd", b"# none yet")) == {}


def test_non_utf8_name(tmp_path: Path) -> None:
    """A name in another encoding hinders no other user."""
    file = write(tmp_path / "htpasswd", entry("élise".encode("latin-1"), "x"), ALICE)
    assert "alice" in read(file)


@pytest.mark.parametrize(
    "line",
    [
        b"carol",
        b"carol:",
        b":" + HASHED,
        b"carol:plain text",
        b"carol:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        b"carol:$apr1$abcdefgh$0123456789abcdefghijkl",
        b"carol:$2y$",
        b"carol:$2y$04$short",
        b"carol:" + HASHED.replace(b"04", b"99"),
        b"carol:" + HASHED.replace(b"04", b"xx"),
        b"carol:" + HASHED + b":more",
        b"carol:" + HASHED + b"x",
        b"carol:" + HASHED[:-1] + b"!",
        b"\xff\xfe",
    ],
)
def test_unusable_line(tmp_path: Path, line: bytes) -> None:
    """A line that could let nobody in stops the start, and is named: better than a user who wonders."""
    file = write(tmp_path / "htpasswd", b"# users", ALICE, line)
    with pytest.raises(
        HtpasswdInvalid, match=r"htpasswd:3: not a bcrypt entry; make one with: htpasswd -nB NAME"
    ):
        Htpasswd(file, realm="Registry", cache_seconds=60)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there stops the start."""
    with pytest.raises(HtpasswdInvalid, match="No such file"):
        Htpasswd(tmp_path / "htpasswd", realm="Registry", cache_seconds=60)
