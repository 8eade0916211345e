"""What a run does, as closed YAML files: the recipes, their types, the plan of steps."""
