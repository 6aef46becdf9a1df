"""Where tasks live: two stores, in memory and in Redis, behind one protocol."""
