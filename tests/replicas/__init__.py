"""Three replicas behind nginx, with real clients, with the official suite, and while everything under them fails."""
