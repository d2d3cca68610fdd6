"""What lies in deploy/, checked by the tools that will read it."""
