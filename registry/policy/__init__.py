"""The rules: pure functions from facts to yes, or to the error that a client is told."""
