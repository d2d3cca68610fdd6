"""The words of the specification, as values that are true once they exist. Pure: no input, no output."""
