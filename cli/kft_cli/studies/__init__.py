"""Measurements of kft itself, such as the benchmark of detection."""
