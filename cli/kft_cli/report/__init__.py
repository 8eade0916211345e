"""The report of a run: read, measure, render; and the paper's counts beside it."""
