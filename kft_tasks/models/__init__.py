"""Which model: where it is, its identity, and how it is loaded."""
