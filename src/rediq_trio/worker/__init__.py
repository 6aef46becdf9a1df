"""Where tasks run. One module per actor; actors exchange work over channels."""
