"""``adapter_config.json`` of PEFT, as far as kft looks into it; other keys are kept as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kft_tasks.errors import DataError
from kft_tasks.files import read_json
from kft_tasks.records import OpenRecord, Seconds, parse_record

CONFIG = "adapter_config.json"
_REMEDY = "Give a folder saved by PEFT."

Rank = Annotated[int, Field(ge=1, le=1 << 20)]


class AdapterConfigRecord(OpenRecord):
    """What kft looks at; adapters other than LoRA have no rank."""

    peft_type: str | None = None
    r: Rank | None = None
    lora_alpha: Seconds | None = None
    target_modules: list[str] | str | None = None
    rank_pattern: dict[str, Rank] | None = None
    alpha_pattern: dict[str, Seconds] | None = None
    bias: str = "none"
    use_rslora: bool | None = False
    fan_in_fan_out: bool | None = False
    base_model_name_or_path: str | None = None


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The configuration of an adapter, checked.

    Raises:
        DataError: it is missing, or not one of PEFT's.
    """
    path = folder / CONFIG
    value = read_json(path, dict)
    parse_record(AdapterConfigRecord, value, path, _REMEDY, "not the configuration of an adapter")
    result: dict[str, Any] = value
    return result


def read_lora_config(folder: Path, needed: Sequence[str] = ("r", "lora_alpha", "target_modules")) -> dict[str, Any]:
    """The configuration of a LoRA, checked: it has a value for each of the keys ``needed``.

    Raises:
        DataError: it is missing, or not a LoRA's.
    """
    config = read_adapter_config(folder)
    for key in needed:
        if config.get(key) in (None, "", []):
            raise DataError(f"{folder / CONFIG}: not the configuration of a LoRA ({key}: missing). {_REMEDY}")
    return config
