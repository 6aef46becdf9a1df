"""Whether a queue can be claimed from: the store answers, a rate allows a start. And its log."""
