"""How many digits a report keeps."""

from __future__ import annotations

from typing import Any


def rounded(value: Any) -> Any:
    """A JSON value with its numbers cut to six significant digits; the digits beyond differ between machines."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value
