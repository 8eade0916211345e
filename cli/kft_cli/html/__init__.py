"""A run, or a comparison of runs, as one HTML file that needs no network: text, tables, figures and every question."""
