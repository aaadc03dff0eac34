"""The history checker: real processes, faults from a printed seed, and an offline check of what was recorded."""
