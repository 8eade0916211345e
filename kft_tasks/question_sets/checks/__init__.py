"""Looking at a question set: surveys, checks, excerpts, local copies."""
