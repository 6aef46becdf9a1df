"""Why a task waits: what is read, and the parts of the answer."""
