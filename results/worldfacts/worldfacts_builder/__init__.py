"""Builds the embedded question set from pinned packages; not part of the installed package."""
