"""Drawings of the page, as SVG that the server makes: without styles of their own, and without scripts."""
