"""The connections to Redis: the only folder that knows redis-py, asyncio and trio-asyncio."""
