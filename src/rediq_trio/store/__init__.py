"""Level 1: where tasks live. Two stores behind one port."""
