"""Experiments: arms and seeds of a recipe, and the hypotheses that were written before the run."""
