"""Workflows: graphs of tasks that are enqueued together."""
