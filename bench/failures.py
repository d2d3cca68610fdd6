"""What is told of a server that cannot be measured."""

from __future__ import annotations


class Failed(Exception):
    """A server did not do what was asked of it; the message says what."""


class Unavailable(Exception):
    """A server cannot be had on this machine: what was tried, and what came of it (for the terminal alone)."""

    def __init__(self, tried: str, details: str) -> None:
        super().__init__(tried)
        self.details = details
