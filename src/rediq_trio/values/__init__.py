"""Values that users write and read, checked where they are built."""
