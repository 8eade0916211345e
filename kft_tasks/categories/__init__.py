"""The four SliCK categories, the file that holds them, and scoring answers into them."""
