"""Histories of queues, checked in a test."""
