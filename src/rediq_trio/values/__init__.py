"""What users write and read: values that are checked where they are built."""
