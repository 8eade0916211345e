"""Plain greedy accuracy on test questions, and the files with its answers."""
