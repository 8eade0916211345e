"""From words and numbers to a terminal or a Markdown page."""
