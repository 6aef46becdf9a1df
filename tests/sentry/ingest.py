"""A local ingest of Sentry: it takes envelopes over HTTP, as the SDK's real transport sends them."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

Item = dict[str, Any]


@attrs.define
class Ingest:
    """What was received."""

    dsn: str = ""
    raw: list[bytes] = attrs.field(factory=list[bytes])
    """Bodies of requests, unpacked."""
    items: list[tuple[str, Item]] = attrs.field(factory=list[tuple[str, Item]])
    """Items of envelopes: type and content."""

    def of(self, kind: str) -> list[Item]:
        return [item for found, item in self.items if found == kind]

    @property
    def events(self) -> list[Item]:
        return self.of("event")

    @property
    def transactions(self) -> list[Item]:
        return self.of("transaction")

    @property
    def check_ins(self) -> list[Item]:
        return self.of("check_in")

    def take(self, body: bytes) -> None:
        """Read an envelope: a line of JSON, then items, each with a line of JSON before it."""
        self.raw.append(body)
        _, _, rest = body.partition(b"\n")
        while rest.strip():
            line, _, rest = rest.partition(b"\n")
            header = json.loads(line)
            size = header.get("length", len(rest.partition(b"\n")[0]))
            content, rest = rest[:size], rest[size:].removeprefix(b"\n")
            if header["type"] in ("event", "transaction", "check_in"):
                self.items.append((header["type"], json.loads(content)))


@contextmanager
def running_ingest() -> Iterator[Ingest]:
    """Listen on the loopback address while the block lasts."""
    ingest = Ingest()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/api/7/envelope/"
            assert "sentry_key=public" in self.headers["X-Sentry-Auth"]
            ingest.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        ingest.dsn = f"http://public@127.0.0.1:{server.server_address[1]}/7"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield ingest
        finally:
            server.shutdown()
            thread.join()
