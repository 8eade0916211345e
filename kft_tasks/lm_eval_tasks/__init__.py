"""Task definitions for lm-evaluation-harness: one folder per question set, YAML and README."""
