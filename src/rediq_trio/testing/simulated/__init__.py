"""The parts of a simulation that tests do not see: the run of Trio, the store, the servers."""
