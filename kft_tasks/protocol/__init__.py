"""Everything a category depends on: protocol, prompts, exemplars, and who was asked what."""
