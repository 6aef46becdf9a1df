"""The asyncio side of the gateway: the one room that knows redis-py, asyncio and the bridge."""
