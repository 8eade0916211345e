"""The report of a run: read it, measure it, render it; and the paper's counts next to it."""
