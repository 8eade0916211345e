"""From lm-eval's sample logs (``--log_samples``) of any task to category files."""
