"""The web page, asked over ASGI without a browser."""
