"""What fewer exemplar sets and samples would have found, and what a re-test would change."""
