"""Whatever is read from a file becomes a typed, closed record in one step, or one error that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kft_tasks.errors import DataError, KftError, shortened
from kft_tasks.files import read_json

LARGEST = 1 << 63
"""Integers of a file are smaller than this in size: seeds are, and everything else that kft counts."""

Count = Annotated[int, Field(ge=0, lt=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]


class Record(BaseModel):
    """No unknown keys, no silent conversions (but integers may stand for floats), no NaN, no changes after creation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())


Loss = Annotated[float, Field(allow_inf_nan=True)]
"""A mean loss; of a training that diverged it is NaN or Infinity."""


class OpenRecord(Record):
    """A record of a file that other programs write too: unknown keys are kept and not looked at."""

    model_config = ConfigDict(extra="allow")


AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


def parse_record(
    model: type[AnyRecord], value: object, where: str | Path, remedy: str, wrong: str = "broken"
) -> AnyRecord:
    """Check a decoded JSON value and make a record of it.

    Args:
        model: kind of record.
        value: as decoded.
        where: file, or "file:line", for the message.
        remedy: what to do, a sentence.
        wrong: what the value is if it does not fit, such as "broken header".

    Raises:
        DataError: a key is missing or unknown, or a value is of the wrong type, out of range or not finite. The message
            names the first one.
    """
    if problem := too_large(value):
        raise DataError(f"{where}: {wrong} ({problem}). {remedy}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DataError(f"{where}: {wrong} ({first_problem(error)}). {remedy}") from error
    except KftError as error:  # of a value that knows its own rules
        raise DataError(f"{where}: {wrong} ({shortened(str(error))}). {remedy}") from error


def read_record(
    model: type[AnyRecord], path: Path, remedy: str, wrong: str = "broken", *, finite: bool = True
) -> AnyRecord:
    """Read a JSON file as a record.

    Args:
        model: kind of record.
        path: the file.
        remedy: what to do if it is broken, a sentence.
        wrong: what the file is if it does not fit.
        finite: False for files that may hold the loss of a training that diverged, which is NaN.

    Raises:
        DataError: the file cannot be read, is not JSON, or does not fit; see :func:`parse_record`.
    """
    return parse_record(model, read_json(path, finite=finite), path, remedy, wrong)


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found wrong: the key, then what it says."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = found[0]
    key = ".".join(str(part) for part in first["loc"])
    more = f"; {len(found) - 1} more" if len(found) > 1 else ""
    return (f"{shortened(key)}: " if key else "") + shortened(first["msg"].rstrip(".")) + more


def too_large(value: object, key: str = "") -> str | None:
    """The first integer of 64 bits or more, which no float can hold, with its key; None if there is none."""
    if isinstance(value, Mapping):
        parts: Any = ((str(name), inner) for name, inner in value.items())
    elif isinstance(value, (list, tuple)):
        parts = ((str(number), inner) for number, inner in enumerate(value))
    elif type(value) is int and abs(value) >= LARGEST:
        return f"{shortened(key) or 'value'}: the number is too large"
    else:
        return None
    for name, inner in parts:
        if type(inner) is not str and (problem := too_large(inner, f"{key}.{name}" if key else name)):
            return problem
    return None
