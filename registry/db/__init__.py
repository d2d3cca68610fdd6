"""The rows: the only SQL. Query functions take a Connection first, are plain and synchronous, and never commit."""
