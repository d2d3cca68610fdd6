"""Measures the registry beside others: same data, same clients, same processor, in turn. `python -m bench --help`."""
