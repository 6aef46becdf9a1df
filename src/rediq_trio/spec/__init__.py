"""Level 0: the words and the rules. Pure; imports neither trio nor redis."""
