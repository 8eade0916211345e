"""The sections of a report, from its JSON values to blocks of a page: one module for each section or two."""
