"""From category files to training rows: mixtures and their reasons."""
