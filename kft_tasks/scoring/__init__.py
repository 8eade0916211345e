"""Whether an answer is right: pure functions of strings."""
