"""Running a recipe: steps in their own folders, done once."""
