"""Finding, fetching, unpacking and reading the files of a question set."""
