"""Traces, metrics and middleware around sending."""
