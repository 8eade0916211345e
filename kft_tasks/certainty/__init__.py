"""What fewer exemplar sets and samples would have found, and what a retest would change."""
