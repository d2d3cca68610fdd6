"""The deeds: what can be done to a registry. One transaction each; bytes first and durable, row second."""
