"""What the test kit costs, and what it finds."""
