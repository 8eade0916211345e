"""Builds the embedded question set from packages; not part of the installed package."""
