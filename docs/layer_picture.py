"""The layers of the package, drawn from the table that the tests hold the imports to."""

from __future__ import annotations

from html import escape

from tests.test_layers import LAYERS, described

WIDTH = 860
ROW, GAP, TOP = 32, 6, 16
LEFT = 60
BOX = 130


def svg() -> str:
    """Draw one row for each layer, the top layer first."""
    about = described()
    layers = [layer for layer in reversed(LAYERS) if layer in about]
    height = TOP + len(layers) * (ROW + GAP) + TOP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="sans-serif" font-size="14">',
        "<title>The layers of rediq_trio: each imports only from the layers below it</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
        f'<path d="M30 {TOP + 4}V{height - TOP - 14}" stroke="#555" stroke-width="1.4"/>',
        f'<polygon points="30,{height - TOP - 4} 25,{height - TOP - 16} 35,{height - TOP - 16}" fill="#555"/>',
        f'<text transform="translate(22 {height / 2:g}) rotate(-90)" text-anchor="middle" '
        'font-size="12" fill="#222">imports</text>',
    ]
    for number, layer in enumerate(layers):
        top = TOP + number * (ROW + GAP)
        parts += [_box(LEFT + n * (BOX + GAP), top, name) for n, name in enumerate(layer)]
        text = escape(about[layer].replace("`", ""))
        parts.append(
            f'<text x="{LEFT + 2 * (BOX + GAP) + 8}" y="{top + 21}" fill="#222">{text}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _box(left: int, top: int, name: str) -> str:
    fill = "#fdf1d8" if name == "spec" else "#e8eef7"
    return (
        f'<rect x="{left}" y="{top}" width="{BOX}" height="{ROW}" rx="6" fill="{fill}" stroke="#345"/>'
        f'<text x="{left + BOX // 2}" y="{top + 21}" text-anchor="middle" '
        f'font-family="monospace" fill="#222">{escape(name)}</text>'
    )
