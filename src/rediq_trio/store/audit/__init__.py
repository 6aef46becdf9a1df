"""The audit: who makes the changes of a store, and how each change becomes one entry."""
