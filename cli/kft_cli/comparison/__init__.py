"""Several runs side by side: compared, then rendered."""
