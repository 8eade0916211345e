"""The four SliCK categories, the file that records them, and the scoring that leads to them."""
