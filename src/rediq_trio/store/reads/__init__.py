"""What is read of a queue at one instant, beside the records themselves."""
