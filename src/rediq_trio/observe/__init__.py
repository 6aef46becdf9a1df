"""What the tools show: frozen views of queues, tasks and workers, alerts, and the words for values."""
