"""An image pipeline: draw pictures, shrink each to three widths in threads, list what was made.

A picture is a workflow, so whoever holds its handle waits for all of it. The shrinking says how far
it is. PNG files are written with zlib: to shrink photographs, open and resize them with Pillow.
"""

import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import trio

import rediq_trio as rediq

app = rediq.App("pictures")
WIDTHS = (160, 80, 40)
SIZE = 480
"""Pixels of a side of a picture, in gray."""


def write_png(path: Path, width: int, pixels: bytes) -> None:
    """Write 8-bit gray pixels, row by row, as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height = len(pixels) // width
    rows = b"".join(b"\0" + pixels[y * width : (y + 1) * width] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    # Under another name first: an attempt that is stopped half-way leaves no half picture.
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    unfinished.replace(path)


@app.task("picture:draw", queue="pictures", timeout=30)
def draw(folder: str, name: str, step: int) -> str:
    """Draw rings, and keep the pixels for the tasks that shrink them."""
    middle = SIZE // 2
    pixels = bytes(
        ((x - middle) ** 2 + (y - middle) ** 2) // step % 256
        for y in range(SIZE)
        for x in range(SIZE)
    )
    path = Path(folder) / f"{name}.gray"
    path.write_bytes(pixels)
    return str(path)


@app.task("picture:shrink", queue="pictures", timeout=30, max_retry=3)
def shrink(source: str, width: int) -> str:
    """Average the pixels of each square; a plain `def` runs in a thread, one for each picture."""
    pixels, side, rows = Path(source).read_bytes(), SIZE // width, bytearray()
    for y in range(width):
        trio.from_thread.check_cancelled()  # a cancel, a timeout and a shutdown stop it here
        rediq.current_task().progress(100 * y / width, f"row {y} of {width}")
        for x in range(width):
            square = [
                pixels[(y * side + dy) * SIZE + x * side + dx]
                for dy in range(side)
                for dx in range(side)
            ]
            rows.append(sum(square) // len(square))
    path = Path(source).with_suffix(f".{width}.png")
    write_png(path, width, bytes(rows))
    return path.name


@app.task("picture:list", queue="pictures")
async def list_made(name: str) -> str:
    made = (await rediq.current_task().results()).values()
    return f"{name}: {', '.join(sorted(map(str, made)))}"


def pipeline(folder: str, name: str, step: int) -> rediq.Workflow[Any]:
    source = str(Path(folder) / f"{name}.gray")
    widths = [shrink.task(source, width) for width in WIDTHS]
    return rediq.chain(draw.task(folder, name, step), rediq.gather(*widths), list_made.task(name))


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    with tempfile.TemporaryDirectory() as folder:
        async with rediq.serve(
            app, url, queues=["pictures"], threads=2, progress_interval=0.05
        ) as server:
            works = [pipeline(folder, name, 17 + 8 * n) for n, name in enumerate(("sun", "pond"))]
            handles = [await server.client.enqueue(work) for work in works]
            async for progress in handles[0].handles["picture:shrink"].progress():
                print(f"sun, the widest: {progress.percent:.0f} %, {progress.message}")
            for handle in handles:
                print(await handle.result(timeout=30))
        sizes = [each.stat().st_size for each in os.scandir(folder) if each.name.endswith(".png")]
        print(f"{len(sizes)} files, {sum(sizes):,} bytes")


trio.run(main)
