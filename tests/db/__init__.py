"""The rows, on both databases."""
