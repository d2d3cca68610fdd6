"""The door for clients: the only place that knows HTTP. Parses once, asks a deed, says what came of it."""
