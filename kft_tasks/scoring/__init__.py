"""Is this answer right? Pure functions of strings."""
