"""The bytes: one contract suite over every store, and what is peculiar to each."""
