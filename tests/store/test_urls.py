"""URLs: what is taken, what is refused, and that no password shows."""

from pathlib import Path
from urllib.parse import quote

import pytest
from redis.asyncio.connection import Connection, SSLConnection

from rediq_trio._errors import ConfigError
from rediq_trio.store.opening import open_store
from rediq_trio.store.redis.connection.address import RedisNode
from rediq_trio.store.redis.connection.gateway import parse_address
from rediq_trio.store.urls import DEFAULT_URL, default_url, redacted, scheme_of
from tests.certificates import Authority

SECRET = "s3cret"
BAD = [
    "", "redis", "localhost:6379", "http://h", "REDIS://h", f"redis:/u:{SECRET}@h", f":{SECRET}@h",
    f"mysql://u:{SECRET}@h/0", f"u:{SECRET}@h:6379", f"redis:u:{SECRET}@h?db=1", None, 5, b"redis://h",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD)
def test_a_bad_url_is_refused_without_its_password(url: object) -> None:
    with pytest.raises(ConfigError, match=r"^url=") as caught:
        scheme_of(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["unix:///run/redis.sock", "embedded://", "embedded:///var/queue"])
def test_a_url_that_needs_unix_sockets_is_refused_on_windows(url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"memory:// or like redis://.*no Unix sockets on Windows"
    ):
        scheme_of(url, "win32")
    assert url.startswith(scheme_of(url, "darwin"))


@pytest.mark.parametrize("url", ["memory://", "redis://h", "rediss+sentinel://h/main"])
def test_a_url_without_unix_sockets_is_taken_on_windows(url: str) -> None:
    assert url.startswith(scheme_of(url, "win32") + "://")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://u:{SECRET}@h:port", f"redis://u:{SECRET}@h:99999999", f"redis://u:{SECRET}@[::1",
        f"unix://u:{SECRET}@", f"redis://u:{SECRET}@h?db=many",
        f"redis://h?password={SECRET}&socket_timeout=x",
        f"redis+sentinel://u:{SECRET}@h:1,h:2", f"redis+sentinel://u:{SECRET}@h:1,h:port/main",
        f"redis+sentinel://u:{SECRET}@h:1,,h:2/main", f"redis+sentinel://u:{SECRET}@h/a service",
        f"redis+sentinel://u:{SECRET}@h/main/many", f"redis+cluster://u:{SECRET}@",
        f"redis://u:{SECRET}@h/abc", f"rediss://u:{SECRET}@h:1/0/1", f"redis://u:{SECRET}@h/-1",
        f"redis://u:{SECRET}@h/²", f"redis://u:{SECRET}@h/%20", f"redis+sentinel://u:{SECRET}@h/main/³",
        f"redis+cluster://u:{SECRET}@h:1/3", f"redis+cluster://u:{SECRET}@h:99999999",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^url=") as caught:
        parse_address(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://user:{SECRET}@h:6379/0", "redis://h:6379/0"),
        (f"redis://:{SECRET}@h", "redis://h"),
        (f"redis://u:{SECRET}?@x@h/1", "redis://h/1"),
        (f"redis://h?password={SECRET}", "redis://h"),
        (f"unix://u:{SECRET}@/tmp/r.sock?db=1", "unix:///tmp/r.sock"),
        ("redis://h", "redis://h"),
        (f"redis+sentinel://u:{SECRET}@h:1,i:2/main/0", "redis+sentinel://h:1,i:2/main/0"),
        (f"redis+cluster://:{SECRET}@h:1,i:2?x=1", "redis+cluster://h:1,i:2"),
        (f"u:{SECRET}@h", "h"),
    ],
)
def test_a_url_is_shown_without_user_password_and_query(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_an_address_does_not_show_its_password() -> None:
    address = parse_address(f"redis://user:{SECRET}@localhost:6379/0")
    assert SECRET not in f"{address} {address!r}"
    assert address.arguments["password"] == SECRET


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://h:1/0", "unix:///s", "memory://", "memory://name", "embedded://"]
)
def test_our_schemes_are_taken(url: str) -> None:
    assert scheme_of(url) == url.partition(":")[0]


def test_the_default_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIQ_URL", raising=False)
    assert default_url() == DEFAULT_URL
    monkeypatch.setenv("REDIQ_URL", "memory://")
    assert default_url() == "memory://"


@pytest.mark.parametrize("url", ["http://h", "memory://a b", "embedded://relative", 5, None])
async def test_no_store_is_opened_at_a_bad_url(url: object) -> None:
    with pytest.raises(ConfigError):
        async with open_store(url):  # type: ignore[arg-type]
            pass


def test_sentinels_have_a_service_a_database_and_a_user_of_their_own() -> None:
    address = parse_address(
        f"redis+sentinel://app:{SECRET}@h1:7000,h2,[::1]:7001/main/3"
        "?sentinel_username=watch&sentinel_password=pa%2Fss&client_name=me"
    )
    assert address.nodes == (RedisNode("h1", 7000), RedisNode("h2", 26379), RedisNode("::1", 7001))
    assert address.service == "main"
    assert address.arguments == {
        "username": "app", "password": SECRET, "db": 3, "client_name": "me"
    }  # fmt: skip
    assert address.sentinel_arguments == {
        "username": "watch", "password": "pa/ss", "client_name": "me"
    }  # fmt: skip
    assert SECRET not in f"{address} {address!r}"


@pytest.mark.parametrize("password", ["a/b?c@d:e,f", "%2F", "ü{}", "a b+c"])
def test_a_password_may_hold_anything(password: str) -> None:
    quoted = quote(password, safe="")
    for url in (
        f"redis://u:{quoted}@h:1/0", f"redis+cluster://u:{quoted}@h:1,i:2",
        f"redis+sentinel://u:{quoted}@h:1,i:2/main",
    ):  # fmt: skip
        address = parse_address(url)
        assert address.arguments["password"] == password
        assert password not in f"{address!r}"


def test_a_cluster_is_named_by_some_of_its_nodes_with_or_without_tls() -> None:
    plain, safe = (parse_address(f"{scheme}+cluster://h1,h2:7/") for scheme in ("redis", "rediss"))
    assert plain.nodes == safe.nodes == (RedisNode("h1", 6379), RedisNode("h2", 7))
    assert plain.connection_class is Connection
    assert safe.connection_class is SSLConnection


def test_sentinels_get_neither_the_password_nor_the_database_of_the_servers() -> None:
    address = parse_address(f"redis+sentinel://app:{SECRET}@h1,h2/main/3")
    assert address.arguments["password"] == SECRET
    assert address.sentinel_arguments == {}


def test_sentinels_are_reached_with_the_tls_options_of_the_servers(tmp_path: Path) -> None:
    ca = str(Authority(tmp_path, "ca").file)
    address = parse_address(f"rediss+sentinel://h1,h2/main?ssl_ca_certs={ca}")
    for arguments in (address.arguments, address.sentinel_arguments):
        assert (arguments["ssl_ca_certs"], arguments["ssl_cert_reqs"]) == (ca, "required")
        assert arguments["ssl_check_hostname"] is True


def test_a_database_that_is_no_number_is_named_with_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"redis://h/abc'.*the number of a database"):
        parse_address("redis://h/abc")
    for url, database in (
        ("redis://h", 0),
        ("redis://h/", 0),
        ("redis://h/7", 7),
        ("redis://h/%37", 7),
    ):
        assert parse_address(url).arguments.get("db", 0) == database
