"""What is measured in a run, as JSON values: one module for each section or two of ``report.json``."""
