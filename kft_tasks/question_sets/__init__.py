"""Where questions come from: loaders, splits, storage, checks, and the registry that opens a set by name."""
