"""A polite crawler: it visits each page once, and no host more often than it may.

The limit is kept by the queue, for each host by itself, over all workers together. The program
starts two small sites on this machine, so it asks nobody else.
"""

import datetime as dt
import hashlib
import os
import re
import threading
import urllib.request
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin, urlsplit

import trio

import rediq_trio as rediq

app = rediq.App("crawler")
POLITE = rediq.Rate(10, per=1)
"""Ten pages a second of each host, evenly spread."""
SECOND = dt.timedelta(seconds=1)
PAGES = 12
"""Pages of each site: page N links to 2N + 1 and 2N + 2, and each to the other site."""


def visit(url: str) -> rediq.Task[int]:
    """Return the task that visits a page. Its id is made of the URL, so a page has one task."""
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    host = urlsplit(url).netloc
    return fetch.options(id=name, limit_key=host, metadata={"host": host}).task(url)


@app.task("fetch", queue="crawl", timeout=10, max_retry=3)
def fetch(url: str) -> int:
    """Fetch a page in a thread, and enqueue those that it links to, on whichever host they are."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        page = answer.read().decode()
    links = {urljoin(url, link) for link in re.findall(r'href="([^"]+)"', page)}
    for link in links:
        trio.from_thread.run(enqueue, link)
    return len(links)


async def enqueue(link: str) -> None:
    # Not `enqueue_after`, which warns of each page that is known already.
    await rediq.current_task().client.enqueue_many([visit(link)])


class Site(BaseHTTPRequestHandler):
    """One of the two sites."""

    others: tuple[str, ...] = ()

    def do_GET(self) -> None:
        number = int(self.path.strip("/") or 0)
        below = [each for each in (2 * number + 1, 2 * number + 2) if each < PAGES]
        links = [*(f"/{each}" for each in below), *self.others]
        page = " ".join(f'<a href="{each}">more</a>' for each in links).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Say nothing: the crawler says what it did."""


async def crawl(first: str) -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, queues=["crawl"], prefetch=0) as server:
        crawling = server.client.queue("crawl")
        await crawling.limit(key="*", rate=POLITE)  # each host that has no limit of its own
        await server.client.enqueue(visit(first))
        await server.wait_idle()

        starts: dict[str, list[dt.datetime]] = defaultdict(list)
        for page in await crawling.tasks("completed", limit=2 * PAGES):
            assert page.started_at is not None
            starts[page.metadata["host"]].append(page.started_at)
        for number, (host, times) in enumerate(sorted(starts.items()), start=1):
            most = max(sum(one <= each < one + SECOND for each in times) for one in times)
            print(f"host {number}, {host}: {len(times)} pages, at most {most} in a second")


def main() -> None:
    sites = [ThreadingHTTPServer(("127.0.0.1", 0), Site) for _ in range(2)]
    addresses = [f"http://127.0.0.1:{site.server_address[1]}/" for site in sites]
    Site.others = tuple(addresses)
    for site in sites:
        threading.Thread(target=site.serve_forever, daemon=True).start()
    try:
        trio.run(crawl, addresses[0])
    finally:
        for site in sites:
            site.shutdown()
            site.server_close()


main()
