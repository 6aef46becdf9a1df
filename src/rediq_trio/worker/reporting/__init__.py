"""What a worker says of itself, and what it is told to do."""
