"""Odd input: random and mutated requests, and what must hold whatever comes in."""
