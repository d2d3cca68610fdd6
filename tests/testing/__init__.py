"""The registry that is given to other programs' tests."""
