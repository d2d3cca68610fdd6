"""Configuration: command line over environment over YAML file over defaults, made into one frozen `Config`.

Every mistake is reported at once, each on a line with its key's dotted path; unknown keys are mistakes too.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from registry.keys import Config, mask_url

__all__ = ["Config", "ConfigError", "is_local", "load", "mask_url"]

ENVIRONMENT_PREFIX = "REGISTRY_"
SEPARATOR = "__"
SHOWN_CHARACTERS_MAX = 60
REPLACED_SECONDS_MIN = 3600
"""How long the bytes of deleted and replaced blobs stay at least, whatever uploads.idle_seconds_max says."""


class ConfigError(Exception):
    """Everything that is wrong with the configuration.

    `mistakes` holds one line for each, `key.path: what is wrong and what was given`; `str()` joins them.
    """

    def __init__(self, mistakes: list[str]) -> None:
        """Take one line for each mistake."""
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> Config:
    """Reads every source and checks the result.

    `overrides` are the command line's values by dotted key (`{"http.port": 5001}`); None means "not given".
    Raises ConfigError, which names all mistakes.
    """
    command_line = _nested({key: value for key, value in (overrides or {}).items() if value is not None})
    environment = _environment()
    content, twice = _file(file)
    given = _merged(content, environment, command_line)
    config, mistakes, wrong = _validated(given, command_line)
    mistakes += twice + _misnamed_variables()
    mistakes += [
        f"{keys[0]}: {text}"
        for keys, text in _contradictions(config)
        if not any(key == path or key.startswith(f"{path}.") for key in keys for path in wrong)
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return config


def is_local(config: Config) -> bool:
    """Whether only programs on this machine can reach the server."""
    if config.http.unix_socket is not None or config.http.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(config.http.host).is_loopback
    except ValueError:  # some other name: what it resolves to can change, so it is not trusted
        return False


def _contradictions(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """What no single key shows: the keys that it rests on, the one to name first, and what to do."""
    tls, htpasswd = config.http.tls, config.auth.htpasswd
    if (tls.certificate_file is None) != (tls.key_file is None):
        missing = "key_file" if tls.key_file is None else "certificate_file"
        yield (
            (f"http.tls.{missing}", "http.tls.certificate_file", "http.tls.key_file"),
            "must be set too: TLS needs http.tls.certificate_file and http.tls.key_file",
        )
    files = {
        "http.tls.certificate_file": tls.certificate_file,
        "http.tls.key_file": tls.key_file,
        "auth.htpasswd.file": htpasswd.file,
    }
    for key, file in files.items():
        if file is not None and not os.path.isfile(file):  # noqa: PTH113 (Path.is_file raises where we may not look)
            yield (key,), f"no such file (got {str(file)!r})"
    if htpasswd.file is None and not config.http.allow_unauthenticated and not is_local(config):
        yield (
            ("http.host", "http.unix_socket", "http.allow_unauthenticated", "auth.htpasswd.file"),
            (
                f"refusing to listen on {config.http.host}, where everybody could push and delete: set "
                "auth.htpasswd.file to ask for a password, or http.allow_unauthenticated to true if the "
                "network is trusted, or listen on 127.0.0.1"
            ),
        )
    yield from _contradictions_of_a_bucket(config)
    in_memory = config.storage.kind == "memory" or config.database_url in {"sqlite://", "sqlite:///:memory:"}
    if in_memory and config.http.workers > 1:
        yield (
            ("http.workers", "storage.kind", "database.url"),
            f"must be 1 with data in memory, which no other process sees (got {config.http.workers})",
        )


def _contradictions_of_a_bucket(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """As above."""
    objects = config.storage.objects
    if config.storage.kind == "objects" and objects.url is None:
        yield ("storage.objects.url", "storage.kind"), "must name a bucket where storage.kind is objects"
    if objects.redirect == "networks" and not objects.redirect_networks:
        yield (
            ("storage.objects.redirect_networks", "storage.objects.redirect"),
            "must name the networks that storage.objects.redirect speaks of",
        )
    kept_seconds = max(config.uploads.idle_seconds_max, REPLACED_SECONDS_MIN)
    if objects.redirect != "never" and objects.redirect_seconds > kept_seconds:
        yield (
            ("storage.objects.redirect_seconds", "uploads.idle_seconds_max", "storage.objects.redirect"),
            (
                f"must be at most {kept_seconds:g}, how long uploads.idle_seconds_max keeps bytes to which a "
                f"link may lead (got {objects.redirect_seconds:g})"
            ),
        )
    for key, endpoint in (("endpoint", objects.endpoint), ("redirect_endpoint", objects.redirect_endpoint)):
        if endpoint is not None and endpoint.startswith("http:") and not objects.allow_http:
            yield (
                (f"storage.objects.{key}", "storage.objects.allow_http"),
                "must be https:// unless storage.objects.allow_http is true",
            )


class _Settings(BaseSettings, Config):
    """The same keys, in the shape that pydantic-settings' sources ask for."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=SEPARATOR,
        env_ignore_empty=True,
        env_parse_none_str="null",
        enable_decoding=False,
    )


def _variables() -> dict[str, str]:
    """The variables that set a key, by their lower-case name."""
    return {
        name.lower(): name
        for name in os.environ
        if name.upper().startswith(ENVIRONMENT_PREFIX) and SEPARATOR in name
    }


_NOT_OURS = re.compile(
    r"REGISTRY_(CONFIG|WORKER|TEST_TOOLS|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?|SERVICE_(HOST|PORT(_.+)?))",
    re.IGNORECASE,
)
"""What the command line, the server, our tests, and Kubernetes (for every pod beside a service "registry") use."""


def _misnamed_variables() -> list[str]:
    """A line for each variable that looks like ours and sets nothing: whoever set it believes that it does."""
    known = {key.replace(".", "_"): key for key in _known_keys() if "." in key}
    mistakes = []
    for name in sorted(os.environ):
        if not name.upper().startswith(ENVIRONMENT_PREFIX) or SEPARATOR in name or _NOT_OURS.fullmatch(name):
            continue
        near = difflib.get_close_matches(name.removeprefix(ENVIRONMENT_PREFIX).lower(), known, n=1)
        hint = f", did you mean {_variable_of(known[near[0]])}?" if near else ""
        mistakes.append(f"{name}: sets no key, which has two underscores between section and key{hint}")
    return mistakes


def _variable_of(key: str) -> str:
    return ENVIRONMENT_PREFIX + key.replace(".", SEPARATOR).upper()


def _environment() -> dict[str, Any]:
    source = EnvSettingsSource(_Settings)
    ours = _variables()
    source.env_vars = {name: value for name, value in source.env_vars.items() if name in ours}
    unknown = {name.removeprefix(ENVIRONMENT_PREFIX.lower()).split(SEPARATOR)[0] for name in source.env_vars}
    return dict.fromkeys(unknown - set(Config.model_fields)) | source()


def _file(file: Path | None) -> tuple[dict[str, Any], list[str]]:
    """What the file holds, and a line for each key that it gives twice."""
    if file is None:
        return {}, []
    import yaml  # most servers run without a file

    try:
        node = yaml.compose(text := file.read_text(encoding="utf-8"), yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: not YAML: {_yaml_words(error)}"]) from error
    if not isinstance(content, dict | None):
        raise ConfigError([f"{file}: must hold sections with keys, such as http: (got {_shown(content)})"])
    return content or {}, list(_given_twice(node, file))


def _yaml_words(error: Exception) -> str:
    """Where and what, without the line itself, in which a secret may stand."""
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{getattr(error, 'problem', None) or getattr(error, 'reason', None) or 'unusable'}{where}"


def _given_twice(node: Any, file: Path, path: str = "") -> Iterator[str]:  # noqa: ANN401 - YAML's nodes have no types
    """YAML takes the last of several keys with one name, and says nothing."""
    if node is None or node.id != "mapping":
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        if key.id != "scalar":
            continue
        name, line = f"{path}{key.value}", key.start_mark.line + 1
        if name in lines:
            yield f"{_masked(name)}: given twice, in lines {lines[name]} and {line} of {file}"
        lines[name] = line
        if value.start_mark.index > key.start_mark.index:  # an alias leads back, perhaps to where we are
            yield from _given_twice(value, file, f"{name}.")


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    """`{"http.port": 1}` as `{"http": {"port": 1}}`."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *sections, key = path.split(".")
        layer: dict[str, Any] = {key: value}
        for section in reversed(sections):
            layer = {section: layer}
        nested = _merged(nested, layer)
    return nested


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers over earlier ones, section by section; every section is a new dict with words for keys."""
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            key, below = str(name), result.get(str(name))
            if isinstance(value, dict):
                result[key] = _merged(below, value) if isinstance(below, dict) else _merged(value)
            else:
                result[key] = value
    return result


def _validated(given: dict[str, Any], command_line: dict[str, Any]) -> tuple[Config, list[str], list[str]]:
    """The configuration without its wrong keys, a line about each of them, and their paths.

    Going on without the wrong keys is what lets the checks across keys be reported in the same breath.
    """
    try:
        return Config.model_validate(given), [], []
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False)
    lines, wrong = [], []
    for mistake in mistakes:
        path = [str(part) for part in mistake["loc"]]
        key = _removed(given, path)
        names = [] if _holds(command_line, key) else _variable_names(key)
        details = [f"got {_shown(mistake['input'], key)}"] if mistake["type"] != "extra_forbidden" else []
        details += [f"from {' and '.join(names)}"] if names else []
        ending = f" ({', '.join(details)})" if details else ""
        lines.append(f"{_masked('.'.join(path))}: {_words(mistake['type'], mistake['msg'], key)}{ending}")
        wrong.append(key)
    return Config.model_validate(given), lines, wrong


def _words(kind: str, text: str, key: str) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key, _known_keys(), n=1)
        return f"unknown key{f', did you mean {near[0]}?' if near else ''}"
    if kind == "model_type":
        return "must be a section with keys"
    return text.removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")


def _variable_names(key: str) -> list[str]:
    """The environment variables that set this key, or something below it."""
    wanted = (ENVIRONMENT_PREFIX + key.replace(".", SEPARATOR)).lower()
    return sorted(
        name
        for lower, name in _variables().items()
        if lower == wanted or lower.startswith(wanted + SEPARATOR)
    )


def _holds(values: object, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _removed(given: dict[str, Any], path: list[str]) -> str:
    """Takes away the key (not merely the list entry) that the path leads to, and says which it was."""
    section = given
    for depth, key in enumerate(path, start=1):
        inner = section.get(key)
        if depth == len(path) or not isinstance(inner, dict):
            section.pop(key, None)
            break
        section = inner
    return ".".join(path[:depth])


def _known_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def _shown(value: object, key: str = "") -> str:
    text = repr(_masked(value, secret=key in {"database", "database.url"}))
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."


def _masked(value: object, *, secret: bool = False) -> object:
    """The value as it may be shown, however deep a URL is in it; `secret`: it was meant to be one."""
    match value:
        case dict():
            return {_masked(key): _masked(inner, secret=secret) for key, inner in value.items()}
        case list() | tuple():
            return [_masked(inner, secret=secret) for inner in value]
        case str() if secret or "://" in value:
            return mask_url(value)
        case _:
            return value
