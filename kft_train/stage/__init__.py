"""One training stage on TRL: trainer, validation, adapters, checkpoints that can be trusted."""
