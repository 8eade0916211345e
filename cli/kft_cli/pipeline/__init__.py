"""Running a recipe: steps in folders of their own, each done once."""
