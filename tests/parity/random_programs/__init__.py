"""Random programs in both libraries: `python -m tests.parity.random_programs`."""
