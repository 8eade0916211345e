"""How words, numbers, tables and figures look, in a terminal, on a Markdown page and in a picture."""
