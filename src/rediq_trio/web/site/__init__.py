"""The web page as an ASGI application: who may do what, the frame of each page, and liveness."""
