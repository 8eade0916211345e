"""From rows to splits: dividing, keeping subjects apart, removing repeats and overlap."""
