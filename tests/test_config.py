"""The configuration: where values come from, and how everything wrong with it is told at once."""

import os
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.config import REPLACED_SECONDS_MIN, Config, ConfigError, load, mask_url
from registry.operations.purging import _LEFTOVER_SECONDS_MIN

EVERYWHERE = "0.0.0.0"  # noqa: S104 (nothing listens in these tests)
EXAMPLE = Path(__file__).parents[1] / "config.example.yaml"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the variables of whoever runs the tests out of them."""
    for name in os.environ:
        if name.upper().startswith("REGISTRY_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the path of a configuration file that is not there yet."""
    return tmp_path / "registry.yaml"


def mistakes(file: Path | None = None, overrides: dict[str, object] | None = None) -> list[str]:
    """Load what cannot be loaded; one line for each mistake."""
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    return str(caught.value).splitlines()


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections by dotted key."""
    result: dict[str, Any] = {}
    for key, value in section.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return result


def test_nothing_given() -> None:
    """With no file, variable or flag, everything has its default, and the database lies in the data folder."""
    config = load()
    assert config == Config()
    assert (config.http.host, config.http.port) == ("127.0.0.1", 5000)
    assert config.database_url == f"sqlite:///{Path('data/registry.db').absolute()}"


def test_order_of_sources(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line wins over the environment, that over the file, that over the default; key by key."""
    file.write_text("http: {port: 1, workers: 2, keep_alive_seconds: 3}")
    monkeypatch.setenv("REGISTRY_HTTP__PORT", "10")
    monkeypatch.setenv("REGISTRY_HTTP__WORKERS", "20")
    http = load(file, {"http.port": 100, "http.host": None}).http
    assert (http.port, http.workers, http.keep_alive_seconds, http.host) == (100, 20, 3, "127.0.0.1")


def test_frozen() -> None:
    """A configuration cannot be changed once it is loaded."""
    with pytest.raises(ValueError, match="frozen"):
        load().http.port = 1


def test_every_mistake_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong values, unknown keys and contradictions, from every source, are told together, each with its key."""
    file.write_text("http: {prot: 80, host: 0.0.0.0}\nstorage: {kind: s3}\nuploads: 7\n")
    monkeypatch.setenv("REGISTRY_HTTP__TLS__CERTIFICATE_FILE", __file__)
    monkeypatch.setenv("REGISTRY_LOG__LEVEL", "loud")
    lines = mistakes(file, {"http.port": 99999})
    assert {line.split(": ")[0] for line in lines} == {
        "http.port",
        "http.prot",
        "http.host",
        "http.tls.key_file",
        "storage.kind",
        "uploads",
        "log.level",
    }
    assert len(lines) == 7


def test_words_of_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line says what is wrong, what was given, and which variable gave it."""
    monkeypatch.setenv("REGISTRY_HTTP__PORT", "abc")
    [line] = mistakes()
    assert line.startswith("http.port: must be a valid integer")
    assert line.endswith("(got 'abc', from REGISTRY_HTTP__PORT)")


def test_no_variable_is_blamed_for_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command line gave the wrong value, a variable for the same key is not named."""
    monkeypatch.setenv("REGISTRY_HTTP__PORT", "5000")
    assert mistakes(None, {"http.port": -1}) == ["http.port: must be greater than or equal to 0 (got -1)"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("http: {prot: 80}", "http.prot: unknown key, did you mean http.port?"),
        ("htpp: {port: 80}", "htpp: unknown key, did you mean http?"),
        (
            "auth: {htpasswd: {files: a}}",
            "auth.htpasswd.files: unknown key, did you mean auth.htpasswd.file?",
        ),
        ("4: 5", "4: unknown key"),
    ],
)
def test_unknown_key_in_the_file(file: Path, content: str, line: str) -> None:
    """An unknown key is a mistake, and the nearest known one is suggested."""
    file.write_text(content)
    assert mistakes(file) == [line]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("REGISTRY_HTTP__PROT", "http.prot: unknown key, did you mean http.port? (from REGISTRY_HTTP__PROT)"),
        ("REGISTRY_HTPP__PORT", "htpp: unknown key, did you mean http? (from REGISTRY_HTPP__PORT)"),
        ("registry_http__prot", "http.prot: unknown key, did you mean http.port? (from registry_http__prot)"),
    ],
)
def test_unknown_variable(monkeypatch: pytest.MonkeyPatch, name: str, line: str) -> None:
    """A variable for an unknown key is a mistake that names the variable."""
    monkeypatch.setenv(name, "1")
    assert mistakes() == [line]


@pytest.mark.parametrize(
    "name",
    [
        "REGISTRY_PORT",
        "REGISTRY_PORT_5000_TCP",
        "REGISTRY_PORT_5000_TCP_ADDR",
        "REGISTRY_SERVICE_HOST",
        "REGISTRY_SERVICE_PORT",
        "REGISTRY_SERVICE_PORT_HTTP",
        "REGISTRY_CONFIG",
        "REGISTRY_WORKER",
    ],
)
def test_variable_of_others(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What Kubernetes injects beside a service called "registry" is not taken for configuration."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:5000")
    assert load() == Config()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REGISTRY_HTTP_PORT", "REGISTRY_HTTP__PORT"),
        ("REGISTRY_AUTH_HTPASSWD_FILE", "REGISTRY_AUTH__HTPASSWD__FILE"),
        ("registry_database_url", "REGISTRY_DATABASE__URL"),
        ("REGISTRY_HTPASSWD_FILE", "REGISTRY_AUTH__HTPASSWD__FILE"),
        ("REGISTRY_QQQQQQQQ", None),
    ],
)
def test_variable_without_a_key(monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None) -> None:
    """A variable that looks like ours and would set nothing is a mistake; its value, perhaps a secret, is not shown."""
    monkeypatch.setenv(name, "s3cret")
    [line] = mistakes()
    hint = f", did you mean {meant}?" if meant else ""
    assert line == f"{name}: sets no key, which has two underscores between section and key{hint}"


def test_key_given_twice(file: Path) -> None:
    """A key that the file gives twice is a mistake, which names its path and both lines."""
    file.write_text("http:\n  port: 1\n  host: 127.0.0.1\n  port: 2\nlog: {}\nhttp: {prot: 1}\n")
    assert sorted(mistakes(file)) == [
        f"http.port: given twice, in lines 2 and 4 of {file}",
        "http.prot: unknown key, did you mean http.port?",
        f"http: given twice, in lines 1 and 6 of {file}",
    ]


def test_anchors_are_no_repetition(file: Path) -> None:
    """What an alias repeats is given once."""
    file.write_text("http: {tls: &none {reload_seconds: 5}, port: 1}\nauth: {htpasswd: {readers: [a, a]}}\n")
    assert load(file).http.port == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@h:port/d",
        "postgresql://u:s3cret",
        "postgresql://u:s3@cret@h/d",
        "postgresql://u:s3cret@h1:1,h2:2/d",
        "postgresql://u:s3cret@[::1/d",
        "sqlite://u:s3cret@h/d",
        "sqlite:registry.db",
    ],
)
def test_malformed_database_url(url: str) -> None:
    """A URL that no database understands is a mistake with its key, and its password is not shown."""
    [line] = mistakes(None, {"database.url": url})
    assert line.startswith("database.url: must ")
    assert "s3" not in line


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///registry",
        "postgresql://postgres@/registry?host=/run/postgresql",
        "postgresql://u:p%40ss/w@[::1]:5432/registry?sslmode=require",
        "postgresql+psycopg://u@db.example.com:5432/registry",
        "sqlite:///registry.db",
        "sqlite:////data/registry.db",
    ],
)
def test_wellformed_database_url(url: str) -> None:
    """Every form that a database understands is taken as it is."""
    assert load(None, {"database.url": url}).database_url == url


@pytest.mark.parametrize(
    "content",
    [
        "database: postgresql://u:s3cret@h/d",
        "database: u:s3cret",
        "database: {url: [postgresql://u:s3cret@h/d]}",
        "database: {url: [u:s3cret]}",
        "database: {url: {postgresql://u:s3cret@h/d: 1}}",
        "database: {url: postgresql://u:s3cret@h/d: 1}",
        "database: {postgresql://u:s3cret@h/d: 1}",
        "postgresql://u:s3cret@h/d: 1",
        "postgresql://u:s3cret@h/d",
        "{postgresql://u:s3cret@h/d: 1, postgresql://u:s3cret@h/d: 1}",
        "log: {level: postgresql://u:s3cret@h/d}",
    ],
)
def test_no_secret_in_a_mistake(file: Path, content: str) -> None:
    """A URL is shown without its password wherever in the file it stands, also where the file is no YAML."""
    file.write_text(content)
    assert "s3cret" not in "\n".join(mistakes(file))


@pytest.mark.parametrize("value", ["10.0.0.7,192.168.0.0/16", ' ["10.0.0.7", "192.168.0.0/16"]'])
def test_list_by_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A list is written as JSON or with commas."""
    monkeypatch.setenv("REGISTRY_HTTP__TRUSTED_PROXIES", value)
    assert load().http.trusted_proxies == (ip_network("10.0.0.7/32"), ip_network("192.168.0.0/16"))


def test_null_and_empty_variables(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word null unsets a key of the file, and an empty variable changes nothing."""
    file.write_text("http: {unix_socket: /run/a.sock, port: 7}")
    monkeypatch.setenv("REGISTRY_HTTP__UNIX_SOCKET", "null")
    monkeypatch.setenv("REGISTRY_HTTP__PORT", "")
    assert (load(file).http.unix_socket, load(file).http.port) == (None, 7)


def test_section_without_keys(file: Path) -> None:
    """A section whose keys are all commented out is as good as left out."""
    file.write_text("http:\n  tls:\n  # key_file: a\nlog:\n")
    assert load(file) == Config()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "not YAML"),
        ("- a", "must hold sections"),
        (b"\xff\xfe\xfd", "not YAML"),
        (None, "cannot be read"),
    ],
)
def test_unusable_file(file: Path, content: str | bytes | None, words: str) -> None:
    """A file that is missing, is no YAML or holds something else is one mistake, which names the file."""
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    [line] = mistakes(file)
    assert line.startswith(f"{file}: {words}")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, None),
        ("sqlite:////data/registry.db", "sqlite:////data/registry.db"),
        ("postgresql://bob@host/db", "postgresql://bob@host/db"),
        ("postgresql://bob:s3cret@host:5432/db", "postgresql://bob:***@host:5432/db"),
        ("postgresql://bob:s3@cr/et?@host/db", "postgresql://bob:***@host/db"),
        ("postgresql:///db?host=a&password=s3cret&x=1", "postgresql:///db?host=a&password=***&x=1"),
        ("bob:s3cret", "***"),
        ("postgresql://bob:s3cret", "postgresql://bob:***"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
    ],
)
def test_mask_url(given: str | None, shown: str | None) -> None:
    """A database URL is shown with every password in it masked, and otherwise as it is."""
    assert mask_url(given) == shown


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the masked configuration, nor its repr, nor a mistake about the URL shows a database password."""
    monkeypatch.setenv("REGISTRY_DATABASE__URL", "postgresql://bob:s3cret@host/db")
    config = load()
    assert config.database_url == "postgresql://bob:s3cret@host/db"
    assert config.masked()["database"]["url"] == "postgresql://bob:***@host/db"
    assert "s3cret" not in repr(config)
    monkeypatch.setenv("REGISTRY_DATABASE__URL", "mysql://bob:s3cret@host/db")
    [line] = mistakes()
    assert "'mysql://bob:***@host/db'" in line


def test_masked_is_complete() -> None:
    """The shown configuration holds every key in plain values that YAML and JSON know."""
    assert Config.model_validate(yaml.safe_load(yaml.safe_dump(Config().masked()))) == Config()


def test_memory() -> None:
    """With the store in memory the database is there too, unless a URL is given."""
    assert load(None, {"storage.kind": "memory"}).database_url == "sqlite://"
    url = "postgresql://host/db"
    assert load(None, {"storage.kind": "memory", "database.url": url}).database_url == url


@pytest.mark.parametrize(
    "overrides",
    [{"storage.kind": "memory"}, {"database.url": "sqlite://"}, {"database.url": "sqlite:///:memory:"}],
)
def test_memory_has_one_worker(overrides: dict[str, object]) -> None:
    """Data in memory with several workers is refused: each would have its own."""
    [line] = mistakes(None, {**overrides, "http.workers": 2})
    assert line.startswith("http.workers: must be 1 with data in memory")


BUCKET: dict[str, Any] = {"storage.kind": "objects", "storage.objects.url": "s3://bucket/prefix"}
LINKS: dict[str, object] = {"storage.objects.redirect": "always"}


@pytest.mark.parametrize(
    "url", ["s3://bucket", "gs://bucket/a/b/", "az://account/container", BUCKET["storage.objects.url"]]
)
def test_bucket(url: str) -> None:
    """A bucket is named by its URL; the SQLite database still lies in the folder, unless another is named."""
    config = load(None, {**BUCKET, "storage.objects.url": url})
    assert config.storage.objects.url == url
    assert config.database_url.endswith("/data/registry.db")


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"storage.objects.url": None}, "storage.objects.url: must name a bucket"),
        *(
            ({"storage.objects.url": url}, "storage.objects.url: must be s3://bucket/prefix")
            for url in (
                "bucket",
                "s3://",
                "s3://key:secret@bucket",
                "file:///tmp",
                "memory:///",
                "az://account",
                "s3://b?x",
            )
        ),
        ({"storage.objects.endpoint": "s3.example.com"}, "storage.objects.endpoint: must be https://host"),
        ({"storage.objects.endpoint": "http://s3"}, "storage.objects.endpoint: must be https:// unless"),
        (
            {"storage.objects.redirect_endpoint": "http://s3"},
            "storage.objects.redirect_endpoint: must be https:// unless",
        ),
        (
            {"storage.objects.redirect": "networks"},
            "storage.objects.redirect_networks: must name the networks",
        ),
        (
            {"storage.objects.redirect_seconds": 604_801},
            "storage.objects.redirect_seconds: must be less than",
        ),
        (
            {**LINKS, "storage.objects.redirect_seconds": 86_401},
            "storage.objects.redirect_seconds: must be at most 86400,",
        ),
        (
            {**LINKS, "uploads.idle_seconds_max": 7200, "storage.objects.redirect_seconds": 7201},
            "storage.objects.redirect_seconds: must be at most 7200,",
        ),
        (
            {**LINKS, "uploads.idle_seconds_max": 60, "storage.objects.redirect_seconds": 3601},
            "storage.objects.redirect_seconds: must be at most 3600,",
        ),
    ],
)
def test_wrong_bucket(overrides: dict[str, object], line: str) -> None:
    """What cannot be used is told with its key: no other kind of store, no secret in a URL, no TLS left out by mistake."""
    [found] = mistakes(
        None, {key: value for key, value in {**BUCKET, **overrides}.items() if value is not None}
    )
    assert found.startswith(line)


@pytest.mark.parametrize(
    "overrides",
    [
        {**LINKS, "storage.objects.redirect_seconds": 86_400},
        {**LINKS, "storage.objects.redirect_seconds": 3600, "uploads.idle_seconds_max": 60},
        {"storage.objects.redirect_seconds": 86_401},
    ],
)
def test_links_to_bytes_that_stay(overrides: dict[str, object]) -> None:
    """A link may be good for as long as what it leads to stays when it is replaced; without links nothing is compared."""
    load(None, {**BUCKET, **overrides})
    assert _LEFTOVER_SECONDS_MIN == REPLACED_SECONDS_MIN


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.0.0.1", "registry.example.com"])
def test_open_to_the_network(host: str) -> None:
    """Listening beyond this machine is refused without authentication, with words on what to do."""
    [line] = mistakes(None, {"http.host": host})
    assert line.startswith(f"http.host: refusing to listen on {host}")
    assert "auth.htpasswd.file" in line
    assert "http.allow_unauthenticated" in line


@pytest.mark.parametrize(
    "overrides",
    [
        {"http.host": "127.0.0.5"},
        {"http.host": "::1"},
        {"http.host": "localhost"},
        {"http.host": EVERYWHERE, "http.allow_unauthenticated": True},
        {"http.host": EVERYWHERE, "auth.htpasswd.file": __file__},
        {"http.host": EVERYWHERE, "http.unix_socket": "/run/registry.sock"},
    ],
)
def test_closed_to_the_network(overrides: dict[str, object]) -> None:
    """This machine's own addresses, a Unix socket, a password file and an explicit word are accepted."""
    assert load(None, overrides).http.port == 5000


@pytest.mark.parametrize(
    ("given", "missing"), [("certificate_file", "key_file"), ("key_file", "certificate_file")]
)
def test_half_of_tls(given: str, missing: str) -> None:
    """A certificate without its key, or a key without its certificate, is refused."""
    [line] = mistakes(None, {f"http.tls.{given}": __file__})
    assert line.startswith(f"http.tls.{missing}: must be set too")


def test_missing_files(tmp_path: Path) -> None:
    """Files that the configuration names have to exist."""
    absent = tmp_path / "absent"
    keys = ["http.tls.certificate_file", "http.tls.key_file", "auth.htpasswd.file"]
    assert mistakes(None, dict.fromkeys(keys, absent)) == [
        f"{key}: no such file (got '{absent}')" for key in keys
    ]


def test_example_has_every_key_and_default() -> None:
    """The example names exactly the keys there are, each with its default."""
    example = yaml.safe_load(EXAMPLE.read_text())
    assert flat(example).keys() == flat(Config().model_dump()).keys()
    assert Config.model_validate(example) == load(EXAMPLE) == Config()


def test_example_explains_every_key() -> None:
    """In the example, a comment stands right above every key."""
    lines = EXAMPLE.read_text().splitlines()
    keys = {key.split(".")[-1] for key in flat(Config().model_dump())}
    bare = [
        line.strip()
        for above, line in pairwise(lines)
        if line.strip().split(":")[0] in keys and not above.strip().startswith("#")
    ]
    assert bare == []
