"""kft_train: stage data from category files, two-stage training on TRL. Layer 1: reads category files, not lm-eval."""
