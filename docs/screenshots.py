"""Pictures of the web page: `python -m docs.screenshots http://127.0.0.1:8080` writes them.

The page has to be served, with a fleet that has something to show: `rediq web` beside any of the
examples. A handful is written into `docs/images/web/`; with `--all FOLDER`, each page in each width and
theme into a folder, to be looked at.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent / "images" / "web"
WIDTHS = (1440, 768, 360)
THEMES = ("light", "dark")
PAGES = {
    "overview": ("/",),
    "queues": ("/queues",),
    "queue": ("/queues", "main td a"),
    "failures": ("/failures",),
    "failure": ("/failures", "main td a"),
    "dead": ("/dead",),
    "task": ("/queues/{queue}/dead", "main td a[href*='/tasks/']"),
    "workers": ("/workers",),
    "worker": ("/workers", "main td a"),
    "schedules": ("/schedules",),
    "schedule": ("/schedules", "main td a"),
    "workflows": ("/workflows",),
    "workflow": ("/workflows", "main p a, main td a"),
    "check": ("/check",),
    "audit": ("/audit",),
    "help": ("/help",),
}
"""Each page: its path, or that of one that leads to it, with the first link to follow there."""
KEPT = (
    ("overview", 1440, "light"),
    ("overview", 1440, "dark"),
    ("failures", 1440, "light"),
    ("task", 1440, "light"),
    ("workflow", 1440, "light"),
    ("schedules", 1440, "dark"),
    ("overview", 360, "light"),
)
"""The pictures that the documentation shows."""
HEIGHT = 900
TALLEST = 1500
"""Pixels of a picture's height, at most: the rest of a long list says nothing new."""
TO_WEBP = """async source => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas.toDataURL('image/webp', 0.75);
}"""
SIZE_MAX = 150_000
"""Bytes of a picture that is kept."""


def addresses(browser: Browser, site: str, queue: str) -> dict[str, str]:
    """Return the address of each page that is there."""
    found: dict[str, str] = {}
    page = browser.new_page()
    for name, (path, *link) in PAGES.items():
        address = site + path.replace("{queue}", queue)
        if link:
            page.goto(address)
            first = page.locator(link[0]).first
            if not first.count():
                continue
            address = urljoin(site, first.get_attribute("href") or "")
        found[name] = address
    page.close()
    return found


def picture(browser: Browser, address: str, file: Path, width: int, theme: str) -> None:
    """Write a picture of a page, once it is live."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(address)
    page.locator("#live.on, #live.away").wait_for(timeout=30_000)
    tall = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": width, "height": max(HEIGHT, tall)})
    file.write_bytes(smaller(browser, page.screenshot()))
    context.close()


def smaller(browser: Browser, png: bytes) -> bytes:
    """Return a picture as WebP, which takes a fifth of the bytes."""
    page = browser.new_page()
    text = page.evaluate(TO_WEBP, "data:image/png;base64," + base64.b64encode(png).decode())
    page.close()
    return base64.b64decode(text.partition(",")[2])


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description="Write pictures of the web page.")
    parser.add_argument("site", help="where the page is served")
    parser.add_argument("--queue", default="billing", help="a queue with dead tasks (billing)")
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="each page, width and theme")
    options = parser.parse_args()
    folder: Path = options.all or HERE
    folder.mkdir(parents=True, exist_ok=True)
    every = [(name, width, theme) for name in PAGES for width in WIDTHS for theme in THEMES]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        known = addresses(browser, options.site.rstrip("/"), options.queue)
        for name, width, theme in every if options.all else KEPT:
            if name not in known:
                print(f"{name}: there is nothing to show")
                continue
            file = folder / f"{name}-{width}-{theme}.webp"
            picture(browser, known[name], file, width, theme)
            size = file.stat().st_size
            print(f"{file.name}: {size:,} bytes" + (", too large" if size > SIZE_MAX else ""))
        browser.close()


if __name__ == "__main__":
    main()
