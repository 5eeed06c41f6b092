"""Models compared without a run: on a taskset, with other names, against a machine's limits."""
