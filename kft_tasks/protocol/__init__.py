"""Everything a category depends on: protocol, prompts, exemplars, identities of model and questions."""
