"""Certificates made for a test: a CA, servers, clients; and servers that speak TLS with them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.clusters import free_port
from tests.servers import STOP_DEADLINE, require_server, wait_ready

KEY_PASSWORD = "of the key"


@attrs.frozen
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@attrs.define
class Authority:
    """A CA of its own, whose files lie in a folder."""

    folder: Path
    name: str
    _key: ec.EllipticCurvePrivateKey = attrs.field(
        factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def file(self) -> Path:
        """Its certificate."""
        return self.folder / f"{self.name}.pem"

    def __attrs_post_init__(self) -> None:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(self.name))
            .issuer_name(_name(self.name))
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=9))
            .not_valid_after(now + dt.timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, common: str, *, ends: float = 9, locked: bool = False) -> Pair:
        """Make a certificate for a host that ends in so many days; `locked`: the key has a password."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(common))
        except ValueError:
            alternative = x509.DNSName(common)
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(common))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=8))
            .not_valid_after(now + dt.timedelta(days=ends))
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem = f"{self.name}-{common}-{ends:g}{'-locked' if locked else ''}"
        pair = Pair(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        pair.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if locked:
            lock = serialization.BestAvailableEncryption(KEY_PASSWORD.encode())
        pair.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        )
        return pair


@attrs.frozen
class Secured:
    """A running server, its TLS port and its plain one."""

    name: str
    port: int
    plain: int
    folder: Path

    def url(self, *options: str, host: str = "127.0.0.1", user: str = "") -> str:
        return f"rediss://{user}{host}:{self.port}/0?{'&'.join(options)}"


@contextmanager
def secured_server(
    name: str, authority: Authority, server: Pair, *, clients: bool = False
) -> Iterator[Secured]:
    """Start a server with TLS; with `clients` it wants a certificate of each client."""
    folder = Path(tempfile.mkdtemp(prefix="rediq-test-"))
    port, plain = free_port(), free_port()
    arguments = [
        str(require_server(name)), "--port", str(plain), "--tls-port", str(port),
        "--bind", "127.0.0.1", "--unixsocket", str(folder / "s"),
        "--tls-cert-file", str(server.certificate), "--tls-key-file", str(server.key),
        "--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "yes" if clients else "no",
        "--dir", str(folder), "--save", "", "--appendonly", "no", "--daemonize", "no",
        "--logfile", str(folder / "log")
    ]  # fmt: skip
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_ready(child, str(folder / "s"))
        yield Secured(name, port, plain, folder)
    finally:
        child.terminate()
        try:
            child.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        shutil.rmtree(folder, ignore_errors=True)
