"""Log lines: what they look like on a terminal and elsewhere, and that nothing from outside can forge them."""

import asyncio
import contextlib
import datetime as dt
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from registry import logs


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Put logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Every JSON line on stderr (which is not a terminal under pytest) since the last call."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Away from a terminal an event is one JSON object, with its facts, level, logger and time."""
    logs.configure("info", "auto")
    structlog.get_logger("registry.access").info("request", path="/v2/\n\x1b[31m", status=200)
    [line] = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "path": "/v2/\n\x1b[31m",
        "status": 200,
        "logger": "registry.access",
        "level": "info",
    }


def test_console_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal an event is a coloured line for people."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure("info", "auto")
    structlog.get_logger("registry.access").info("request", status=200)
    assert "request" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()


@pytest.mark.parametrize(
    "evil", ["a\nb", "a\r\nb", "\x1b]0;title\x07", "\x9b31m", "a\u2028b", "\u202egnp.exe", "\x00"]
)
def test_console_escapes_control_characters(capsys: pytest.CaptureFixture[str], evil: str) -> None:
    """Nothing that came from outside can start a line of its own or command the terminal."""
    logs.configure("info", "console")
    structlog.get_logger("registry.access").info("request", path=evil, agent=f"x{evil}")
    logging.getLogger("uvicorn.error").warning("bad: %s", evil)
    text = capsys.readouterr().err
    assert text.count("\n") == 2
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_exceptions(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """An exception is logged with its traceback, without the values of local variables."""
    logs.configure("info", log_format)  # type: ignore[arg-type]

    def fail(password: str) -> None:
        raise LookupError("gone\x1b[31m")

    try:
        fail("s3" + "cret")
    except LookupError:
        structlog.get_logger("registry.x").exception("failed")
        logging.getLogger("other").exception("failed")
    text = capsys.readouterr().err
    assert text.count("Traceback") == 2
    assert text.count("LookupError: gone") == 2
    assert "\x1b" not in text
    assert "s3cret" not in text


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not logged, whoever says it."""
    logs.configure("warning", "json")
    structlog.get_logger("registry.x").info("quiet")
    logging.getLogger("other").info("quiet")
    structlog.get_logger("registry.x").warning("loud")
    logging.getLogger("other").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud", "loud"]


def test_standard_library(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries that log in the standard way, and Python's warnings, come out in the same form."""
    logs.configure("info", "json")
    logging.getLogger("uvicorn.error").error("no %s", "luck")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    first, second = lines(capsys)
    assert (first["event"], first["level"], first["logger"]) == ("no luck", "error", "uvicorn.error")
    assert "DeprecationWarning: old" in second["event"]


def test_chatty_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    """How uvicorn and alembic go about their work is for "debug"; SQL statements with their values are for nobody."""
    logs.configure("info", "json")
    logging.getLogger("uvicorn.error").info("quiet")
    logging.getLogger("alembic.runtime.migration").info("quiet")
    logs.configure("debug", "json")
    logging.getLogger("alembic.runtime.migration").info("loud")
    logging.getLogger("sqlalchemy.engine").info("quiet")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_bound_context(capsys: pytest.CaptureFixture[str]) -> None:
    """What was bound to the context, such as a request's id, is on every line logged in it."""
    logs.configure("info", "json")
    structlog.contextvars.bind_contextvars(id="abc")
    structlog.get_logger("registry.x").info("event")
    logging.getLogger("other").warning("event")
    assert [line["id"] for line in lines(capsys)] == ["abc", "abc"]


def test_stderr_is_replaced(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger that has written before writes to the stderr of now, and a closed one is no error."""
    logs.configure("info", "json")
    log = structlog.get_logger("registry.x")
    log.info("first")
    assert [line["event"] for line in lines(capsys)] == ["first"]
    second = io.StringIO()
    monkeypatch.setattr(sys, "stderr", second)
    log.info("second")
    assert json.loads(second.getvalue())["event"] == "second"
    second.close()
    log.info("third")


@pytest.mark.parametrize("say", ["debug", "info", "warning", "error", "critical", "exception"])
def test_every_method(capsys: pytest.CaptureFixture[str], say: str) -> None:
    """Every way of logging an event writes one line."""
    logs.configure("debug", "json")
    method: Callable[[str], None] = getattr(structlog.get_logger("registry.x"), say)
    method("event")
    assert [line["event"] for line in lines(capsys)] == ["event"]


# --- a line for each request ---


def access_lines(*facts: dict[str, object]) -> list[dict[str, object]]:
    """The lines that were written for these requests, as a server writes them: on an event loop."""
    said = io.StringIO()

    async def log() -> None:
        write = logs.access_log()
        assert write is not None
        for fact in facts:
            write(**fact)
        assert said.getvalue() == ""  # all of one turn of the loop leave together
        await asyncio.sleep(0)

    with contextlib.redirect_stderr(said):
        asyncio.run(log())
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_access_line() -> None:
    """The short way of a request's line to the log says what the long one would, in order, all of it JSON."""
    logs.configure("info", "json")
    lines = access_lines({"path": "/v2/", "status": 200}, {"path": "/v2/\n\x1b[31m\ud800", "status": 404})
    assert [line["status"] for line in lines] == [200, 404]
    assert lines[1]["path"] == "/v2/\n\x1b[31m\ud800"
    assert {key: lines[0][key] for key in ("event", "level", "logger")} == {
        "event": "request",
        "level": "info",
        "logger": "registry.access",
    }
    written = dt.datetime.fromisoformat(str(lines[0]["timestamp"]))
    assert abs(dt.datetime.now(dt.UTC) - written) < dt.timedelta(minutes=1)


def test_access_line_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """For people, a request's line looks as every other one does."""
    logs.configure("info", "console")
    write = logs.access_log()
    assert write is not None
    write(path="/v2/", status=200)
    assert "request" in (said := capsys.readouterr().err)
    assert "status=200" in said


def test_no_access_lines() -> None:
    """Whoever wants warnings only is not told of each request."""
    logs.configure("warning", "json")
    assert logs.access_log() is None
