"""The deeds, on stores and databases that really run."""
