"""Clients for programs that do not run on Trio: blocking ones and asyncio ones."""
