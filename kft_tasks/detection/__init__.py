"""From questions and a model to a category file: lazy, exact, resumable."""
