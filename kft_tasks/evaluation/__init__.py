"""Plain greedy accuracy on test questions, and its answers files."""
