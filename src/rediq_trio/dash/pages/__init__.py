"""The pages of the terminal: what each reads, its rows, and what its keys do."""
