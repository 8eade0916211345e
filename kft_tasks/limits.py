"""How much kft takes in from a file that anyone may have written. Every limit has one clear error where it is checked.

Together they keep the memory that a file needs below 1 GB more than its own size, whatever the file holds.
"""

from __future__ import annotations

MAX_LINE_BYTES = 16 << 20
"""A line of JSON Lines or CSV, a row of CSV with line breaks in its cells: more is a wrong or damaged file."""

MAX_JSON_BYTES = 128 << 20
"""A file that is one JSON value, which is decoded as a whole."""

MAX_JSON_MEMORY = 768 << 20
"""Estimated memory of a decoded JSON file with its text: ``[[],[],...]`` takes 20 times its size."""

MAX_JSON_DEPTH = 100
"""Brackets within brackets."""

MAX_COLUMNS = 10_000
"""Columns of a CSV or Parquet file."""

MAX_PARQUET_WINDOW = 128 << 20
"""Bytes that a batch of a few hundred Parquet rows may take once decoded (see ``storage.parquet``)."""

MAX_PARQUET_PAGES = 384 << 20
"""Decompressed pages of a Parquet file that are held at once, two of each column; writers make them of about 1 MiB."""

MAX_PARQUET_REPEATED = 1 << 24
"""Values of all columns of lists in one row group."""

MAX_PARQUET_ROWS_PER_BYTE = 100
"""Rows of a Parquet file by its size: more are repeats of one row, and would only keep kft busy."""

MAX_DOWNLOAD = 512 << 20
"""A file fetched from the web."""

MAX_UNPACKED = 1024 << 20
"""All wanted members of a zip, unpacked."""

MAX_ZIP_RATIO = 100
"""Unpacked size of a zip by its own: text packs to a tenth. Below ``MIN_UNPACKED`` it does not matter."""

MIN_UNPACKED = 16 << 20
"""What a zip of any size may hold."""

MAX_ZIP_DIRECTORY = 8 << 20
"""The list of a zip's members, which is held in memory: about 80,000 members."""

MAX_YAML_BYTES = 1 << 20
"""A recipe, which is a page of text."""

MAX_YAML_NODES = 20_000
"""Values in a recipe, aliases counted as often as they are used."""

MAX_YAML_DEPTH = 50
"""Lists and mappings within each other in a recipe."""

MAX_YAML_NUMBER = 100
"""Characters of a number or date in a recipe; PyYAML's patterns for these take a minute on 100,000."""
