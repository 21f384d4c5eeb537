"""The gate: suites run and timed in fresh processes, and compared, without printing."""
