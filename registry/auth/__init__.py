"""Who is asking: from credentials to a principal. What a principal may do is decided in `policy/access.py`."""
