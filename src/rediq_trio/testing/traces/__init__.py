"""Histories of real queues, checked against the specification in a test."""
