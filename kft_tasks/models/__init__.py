"""Which model, where it lies, who it is, and how it is loaded."""
