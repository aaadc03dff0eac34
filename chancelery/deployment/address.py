"""
What a Redis URL may look like, and how each of our clients wants it written.

Source: redis-py's `from_url`, kombu's redis transport, Celery's redis backend. They read one URL differently (query
options, Unix sockets, TLS, separators between hosts), so it is taken apart and put together again here. No message of
this module shows any part of a URL but its scheme: what fails to parse may well be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

Host: TypeAlias = "str | tuple[str, int]"
"""A URL, or host and port."""

SCHEMES = ("redis", "rediss", "unix", "sentinel")
SENTINEL_PORT = 26379
_TLS_OPTIONS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_OPTIONS = {"redis": (), "rediss": _TLS_OPTIONS, "unix": ("db",), "sentinel": _SENTINEL_OPTIONS}
_END_OF_HOSTS = re.compile(r"[/?#]")
_SERVICE = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_CERT_REQS = ("required", "optional", "none")
_EXPECTED = (
    "use redis://[user:password@]host[:port][/database], rediss:// for TLS, "
    "unix://[user:password@]/path[?db=number], or "
    "sentinel://[user:password@]host[:port],host[:port]/service[/database], with user and password percent-encoded"
)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where one Redis database is (or who knows that), and who asks."""

    scheme: str
    host: str = ""
    port: int = 6379
    path: str = ""
    """Of a Unix socket."""
    database: int = 0
    username: str = ""
    password: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """Of TLS, as redis-py, kombu and Celery name them; or the user whom Sentinels ask a password of."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of the Sentinels that know where the master is."""
    service: str = ""
    """What the Sentinels call it."""

    @property
    def location(self) -> tuple[str, int | str, int]:
        """What tells two databases apart, whoever asks: equal for two spellings of one database on this machine."""
        if self.scheme == "unix":
            return ("unix", self.path, self.database)
        if self.sentinels:
            return sentinel_location(self.sentinels, self.service, self.database)
        host = self.host.lower()
        return ("local" if host in {"localhost", "127.0.0.1", "::1"} else host, self.port, self.database)

    def for_redis(self) -> str:
        """Return the URL for redis-py, and for Django's cache."""
        if self.scheme == "unix":
            return f"unix://{self._credentials()}{quote(self.path)}?db={self.database}"
        if self.sentinels:
            hosts = ",".join(f"{_bracketed(host)}:{port}" for host, port in self.sentinels)
            return f"sentinel://{self._credentials()}{hosts}/{self.service}/{self.database}{self._query()}"
        return self._tcp()

    def for_celery(self) -> str:
        """Return the URL for a broker or result backend."""
        if self.scheme == "unix":
            return f"redis+socket://{self._credentials()}{quote(self.path)}?virtual_host={self.database}"
        if self.sentinels:
            return ";".join(
                f"sentinel://{self._credentials()}{_bracketed(host)}:{port}/{self.database}"
                for host, port in self.sentinels
            )
        return self._tcp()

    def sentinel_options(self) -> dict[str, str]:
        """Return user and password for the Sentinels, as redis-py names them."""
        return {name.removeprefix("sentinel_"): value for name, value in self.options} if self.sentinels else {}

    def for_display(self) -> str:
        """Return the URL without its password, for messages and logs."""
        shown = replace(self, options=()).for_redis() if self.sentinels else self.for_redis()
        return shown.replace(self._credentials(), "***@", 1) if self.password else shown

    def _tcp(self) -> str:
        return (
            f"{self.scheme}://{self._credentials()}{_bracketed(self.host)}:{self.port}/{self.database}{self._query()}"
        )

    def _query(self) -> str:
        return f"?{urlencode(self.options)}" if self.options else ""

    def _credentials(self) -> str:
        if not self.username and not self.password:
            return ""
        return f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"


def parse(url: object) -> Address:
    """Take *url* apart. Raises: ImproperlyConfigured, which says what is allowed and shows nothing of the URL."""
    if not isinstance(url, str):
        raise ImproperlyConfigured(f"the Redis URL is a str, not {type(url).__name__}: {_EXPECTED}")
    scheme = _require_scheme(url.strip())
    if scheme == "sentinel":
        return _parse_sentinels(url.strip())
    try:
        parts = urlsplit(url.strip())
        port = parts.port or 6379
        credentials, _, hosts = parts.netloc.rpartition("@")
    except ValueError:
        raise ImproperlyConfigured(f"the {scheme}:// URL of Redis cannot be read: {_EXPECTED}") from None
    if "@" in credentials:
        raise ImproperlyConfigured(f"the {scheme}:// URL of Redis has more than one @: {_EXPECTED}")
    if "," in hosts or ";" in hosts:
        raise ImproperlyConfigured(
            f"the {scheme}:// URL of Redis names several hosts: Redis Cluster and lists of hosts are not supported; "
            f"{_EXPECTED}"
        )
    options = _options(scheme, parts)
    return Address(
        scheme=scheme,
        host=_host(scheme, parts),
        port=port,
        path=_path(parts) if scheme == "unix" else "",
        database=_database(options.pop("db", "0") if scheme == "unix" else parts.path.strip("/") or "0"),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=tuple(options.items()),
    )


def sentinel_location(sentinels: Iterable[tuple[str, int]], service: str, database: int) -> tuple[str, int | str, int]:
    """Return what tells a database apart that Sentinels know of, as `Address.location`."""
    return (
        "sentinel",
        ",".join(sorted(f"{host.lower()}:{port}" for host, port in sentinels)) + f"/{service}",
        database,
    )


def _parse_sentinels(url: str) -> Address:
    # Python's urlsplit takes one host only: it refuses brackets that others come before.
    behind_scheme = url.partition("://")[2]
    authority = _END_OF_HOSTS.split(behind_scheme, maxsplit=1)[0]
    parts = urlsplit("sentinel://hosts" + behind_scheme[len(authority) :])
    credentials, _, hosts = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    if "@" in credentials or not hosts or not _SERVICE.fullmatch(service):
        raise ImproperlyConfigured(f"the sentinel:// URL of Redis needs hosts and the name of a service: {_EXPECTED}")
    return Address(
        scheme="sentinel",
        sentinels=tuple(map(_sentinel, hosts.split(","))),
        service=service,
        database=_database(database or "0"),
        username=unquote(username),
        password=unquote(password),
        options=tuple(_options("sentinel", parts).items()),
    )


def _sentinel(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or SENTINEL_PORT
    except ValueError:
        host, port = None, 0
    if not host:
        raise ImproperlyConfigured(f"a host of the sentinel:// URL of Redis cannot be read: {_EXPECTED}")
    return host, port


def url_of_pair(host: object) -> object:
    """Return the URL of a Redis that is named by host and port, as Channels 1 can; what is no such pair, as it is."""
    match host:
        case (str(name), int(port)):
            return f"redis://{_bracketed(name)}:{port}"
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _require_scheme(url: str) -> str:
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if found is None:
        raise ImproperlyConfigured(f"the Redis URL has no scheme: {_EXPECTED}")
    scheme = found[1].lower()
    if "cluster" in scheme:
        raise ImproperlyConfigured(
            f"{scheme}:// names a Redis Cluster, which Celery's broker cannot use: use one Redis or Valkey server; "
            f"{_EXPECTED}"
        )
    if scheme not in SCHEMES:
        raise ImproperlyConfigured(f"the Redis URL begins with {scheme}://: {_EXPECTED}")
    return scheme


def _options(scheme: str, parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not options.keys() <= set(_OPTIONS[scheme]):
        allowed = ", ".join(_OPTIONS[scheme]) or "none"
        raise ImproperlyConfigured(
            f"the {scheme}:// URL of Redis has options after its ? that are not known here (allowed: {allowed}): "
            f"{_EXPECTED}"
        )
    if scheme == "rediss" and options.setdefault("ssl_cert_reqs", "required") not in _CERT_REQS:
        raise ImproperlyConfigured(f"ssl_cert_reqs in the URL of Redis is one of {', '.join(_CERT_REQS)}")
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ImproperlyConfigured("ssl_keyfile in the URL of Redis is the key of an ssl_certfile: name that, too")
    return options


def _host(scheme: str, parts: SplitResult) -> str:
    if scheme == "unix":
        if parts.hostname:
            raise ImproperlyConfigured(
                f"the unix:// URL of Redis needs three slashes before its absolute path: {_EXPECTED}"
            )
        return ""
    if not parts.hostname:
        raise ImproperlyConfigured(f"the {scheme}:// URL of Redis has no host: {_EXPECTED}")
    return parts.hostname


def _path(parts: SplitResult) -> str:
    path = unquote(parts.path)
    if path in {"", "/"}:
        raise ImproperlyConfigured(f"the unix:// URL of Redis has no path: {_EXPECTED}")
    return path


def _database(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ImproperlyConfigured(f"the database in the URL of Redis is a number from 0: {_EXPECTED}")
    return int(text)
