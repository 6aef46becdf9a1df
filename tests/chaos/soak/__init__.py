"""The soak: hours of work on one server, and then nothing may be left of it.

One real redis-server, one worker process, and a producer at a steady rate whose tasks are
kept for seconds only. `python -m tests.chaos.soak`.
"""
