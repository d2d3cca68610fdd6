"""Every key of the configuration: its type, its bounds, its default, what it is for."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PlainSerializer,
)

MASK = "***"


def _items(value: object) -> object:
    """The environment says a list as JSON or as words between commas."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [item.strip() for item in value.split(",") if item.strip()]
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a list, as JSON or with commas between its items") from None


def _empty_section(value: object) -> object:
    """A section whose keys are all commented out reads as null in YAML."""
    return {} if value is None else value


_POSTGRES_URL = re.compile(
    r"postgresql(\+psycopg)?://([^:/]*(:[^@]*)?@)?"
    r"(\[[^]/?]+]|[^][:/?@]*)(:[0-9]{1,5})?(/[^?]*)?(\?.*)?"
)


def _database(url: str | None) -> str | None:
    if url is None or url == "sqlite://" or url.startswith("sqlite:///"):
        return url
    if url.startswith("sqlite:"):
        raise ValueError("must be sqlite:/// and a path, with four slashes where the path is absolute")
    if not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError("must start with sqlite:// or postgresql://")
    if _POSTGRES_URL.fullmatch(url) is None:
        raise ValueError(
            "must be postgresql://user:password@host:port/name, with @, / and : in user or password as %40, %2F, %3A"
        )
    return url


def _shortest(value: float) -> float:
    """30 rather than 30.0."""
    return int(value) if float(value).is_integer() else value


_AsGiven = PlainSerializer(_shortest, return_type=object)
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), _AsGiven]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False), _AsGiven]
Items = BeforeValidator(_items)
Section = BeforeValidator(_empty_section)


class _Section(BaseModel):
    # built when it is first used, as one: a section has no need of a validator of its own
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Tls(_Section):
    """Certificate and key for HTTPS; both or neither."""

    certificate_file: Path | None = Field(
        default=None, description="PEM file: the certificate, then its intermediates"
    )
    key_file: Path | None = Field(
        default=None, description="PEM file: the certificate's private key, without a passphrase"
    )
    reload_seconds: Seconds = Field(
        default=10, ge=1, description="how often both files are looked at for a change"
    )


class Http(_Section):
    """Where and how the server listens."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address or name to listen on")
    port: int = Field(default=5000, ge=0, le=65535, description="TCP port; 0 takes any free one")
    unix_socket: Path | None = Field(
        default=None, description="listen on this Unix socket instead of host and port"
    )
    workers: int = Field(default=1, ge=1, le=256, description="server processes")
    allow_unauthenticated: bool = Field(
        default=False, description="listen beyond this machine without authentication"
    )
    tls: Annotated[Tls, Section] = Tls()
    shutdown_seconds_max: Seconds = Field(
        default=30, description="how long running requests may take after SIGTERM"
    )
    body_idle_seconds_max: PositiveSeconds = Field(
        default=60,
        description="how long a body may send nothing, or a client that downloads may take to read 1 MiB",
    )
    keep_alive_seconds: PositiveSeconds = Field(default=75, description="how long an idle connection is kept")
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], Items] = Field(
        default=(), description="addresses or networks whose X-Forwarded-For names the client"
    )


_BUCKET_URL = re.compile(r"(s3|gs)://[^/?#@]+(/[^?#]*)?|az://[^/?#@]+/[^/?#@]+(/[^?#]*)?")
_ENDPOINT = re.compile(r"https?://[^/?#@]+(/[^?#@]*)?")


def _bucket(url: str | None) -> str | None:
    if url is not None and _BUCKET_URL.fullmatch(url) is None:
        raise ValueError("must be s3://bucket/prefix, gs://bucket/prefix or az://account/container/prefix")
    return url


def _endpoint(url: str | None) -> str | None:
    if url is not None and _ENDPOINT.fullmatch(url) is None:
        raise ValueError("must be https://host or http://host, without user, password or query")
    return url


Endpoint = Annotated[str | None, AfterValidator(_endpoint)]


class Objects(_Section):
    """A bucket of an object storage service; its credentials are found in the usual places, never here."""

    url: Annotated[str | None, AfterValidator(_bucket)] = Field(
        default=None, description="s3://bucket/prefix, gs://bucket/prefix or az://account/container/prefix"
    )
    endpoint: Endpoint = Field(default=None, description="a service that is not the vendor's own")
    region: str | None = Field(default=None, min_length=1, description="the region of an S3 bucket")
    allow_http: bool = Field(default=False, description="talk to the endpoint without TLS")
    redirect: Literal["never", "always", "networks"] = Field(
        default="never", description="which clients fetch blobs from the service itself"
    )
    redirect_networks: Annotated[tuple[IPvAnyNetwork, ...], Items] = Field(
        default=(), description="the clients that can reach it, with redirect: networks"
    )
    redirect_seconds: PositiveSeconds = Field(
        default=1200, le=604_800, description="how long such a link is good for"
    )
    redirect_endpoint: Endpoint = Field(
        default=None, description="where clients reach the service, if elsewhere than the registry"
    )


class Storage(_Section):
    """Where blobs lie."""

    kind: Literal["filesystem", "memory", "objects"] = Field(
        default="filesystem", description="the blob store"
    )
    directory: Path = Field(
        default=Path("./data"), description="the folder of blobs, and of the SQLite database"
    )
    objects: Annotated[Objects, Section] = Objects()


class Database(_Section):
    """Where everything but the blobs' bytes lies."""

    url: Annotated[str | None, AfterValidator(_database)] = Field(
        default=None,
        repr=False,  # it may hold a password
        description="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; null: SQLite in the data folder",
    )
    pool_size: int = Field(default=10, ge=1, le=1000, description="connections of each worker")
    busy_seconds_max: PositiveSeconds = Field(
        default=30, description="how long to wait for a lock, a free connection or an answer"
    )
    migrate_at_start: bool = Field(
        default=True, description="bring the schema up to date when the server starts"
    )


class Htpasswd(_Section):
    """Users from an htpasswd file (bcrypt)."""

    file: Path | None = Field(default=None, description="the htpasswd file; null: nobody has to log in")
    realm: str = Field(
        default="Registry", min_length=1, pattern=r"^[ -~]*$", description="name shown when asking to log in"
    )
    cache_seconds: Seconds = Field(default=60, description="how long a correct password is remembered")
    readers: Annotated[tuple[str, ...], Items] = Field(default=(), description="users who may only pull")


class Auth(_Section):
    """Who may come in."""

    htpasswd: Annotated[Htpasswd, Section] = Htpasswd()


class Manifests(_Section):
    """What a pushed manifest may be."""

    size_bytes_max: int = Field(default=4_194_304, ge=1, description="the largest manifest accepted")
    missing_references: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="a manifest that names a blob or manifest which its repository does not have",
    )
    tags_per_push_max: int = Field(default=100, ge=1, description="tags that one push by digest may set")


class Deletion(_Section):
    """Whether clients may delete."""

    enabled: bool = Field(default=True, description="allow DELETE of tags, manifests and blobs")


class Uploads(_Section):
    """Upload sessions that nobody finishes."""

    idle_seconds_max: PositiveSeconds = Field(
        default=86_400, description="an upload untouched for so long is purged"
    )
    purge_interval_seconds: PositiveSeconds = Field(
        default=3600, description="how often such uploads are looked for"
    )


class Lists(_Section):
    """Tag lists, the catalog, referrers."""

    page_size_max: int = Field(default=10_000, ge=1, description="the most entries in one answer")


class Log(_Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is logged"
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else JSON"
    )


class Config(_Section):
    """The whole configuration, checked and frozen."""

    http: Annotated[Http, Section] = Http()
    storage: Annotated[Storage, Section] = Storage()
    database: Annotated[Database, Section] = Database()
    auth: Annotated[Auth, Section] = Auth()
    manifests: Annotated[Manifests, Section] = Manifests()
    deletion: Annotated[Deletion, Section] = Deletion()
    uploads: Annotated[Uploads, Section] = Uploads()
    lists: Annotated[Lists, Section] = Lists()
    log: Annotated[Log, Section] = Log()

    @property
    def database_url(self) -> str:
        """The database really used; `sqlite://` is SQLite in memory. May hold a password: never show it."""
        if self.database.url is not None:
            return self.database.url
        if self.storage.kind == "memory":
            return "sqlite://"
        return f"sqlite:///{self.storage.directory.absolute() / 'registry.db'}"

    @property
    def has_secrets(self) -> bool:
        """Whether `masked` hides anything."""
        return mask_url(self.database.url) != self.database.url

    def masked(self) -> dict[str, Any]:
        """Plain nested values, fit for YAML, with every secret masked."""
        shown = self.model_dump(mode="json")
        shown["database"]["url"] = mask_url(self.database.url)
        return shown


def mask_url(url: str | None) -> str | None:
    """The URL with its password, wherever a database accepts one, replaced by `***`."""
    if url is None:
        return None
    if "://" not in url:  # not a URL at all, so there is no telling where its secret is
        return MASK
    # up to the last @, so that a password with unescaped signs in it is hidden whole
    url = re.sub(r"^([^:]*://[^:/@]*):.*@", rf"\1:{MASK}@", url, flags=re.DOTALL)
    # where the @ was forgotten, the password stands where a port would
    url = re.sub(r"^([^:]*://[^][:/@]+):(?!\d+(?:[/?]|$)|\*)[^/?]*", rf"\1:{MASK}", url)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", rf"\1{MASK}", url, flags=re.IGNORECASE)
