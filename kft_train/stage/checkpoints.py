"""Which checkpoint of a killed training can be trusted.

The trainer writes a checkpoint file by file. From a broken one it either resumes silently with a different result
(a missing optimizer.pt) or crashes. So every file is checked before a checkpoint is used, and broken ones are removed.
"""

from __future__ import annotations

import logging
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_tasks.errors import DataError
from kft_tasks.files import read_json, write_json
from kft_tasks.models.adapter_config import read_adapter_config
from kft_tasks.records import Count, Loss, OpenRecord, Record, Seconds, parse_record
from kft_tasks.strict_json import parse_json

logger = logging.getLogger(__name__)

STATE = "trainer_state.json"
_IDENTITY = "request.json"


class LogRecord(OpenRecord):
    """An entry of the log: a step of training, or a validation, or the totals at the end."""

    step: Count
    epoch: Seconds
    loss: Loss | None = None
    loss_tokens: Count | None = None
    seconds: Seconds | None = None
    num_input_tokens_seen: Seconds | None = None
    eval_loss: Loss | None = None
    eval_right: Count | None = None
    eval_asked: Count | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        own = set(self.model_dump(exclude_none=True))
        if "loss" in self.model_fields_set and not {"loss", "loss_tokens", "seconds", "num_input_tokens_seen"} <= own:
            raise ValueError("a step without loss_tokens, seconds or num_input_tokens_seen")
        validated = [name for name in self.model_fields_set if name.startswith("eval_")]
        if validated and not {"eval_loss", "eval_right", "eval_asked"} <= own:
            raise ValueError("a validation without eval_loss, eval_right or eval_asked")
        for name in validated:
            if type(getattr(self, name)) not in (int, float):
                raise ValueError(f"{name}: must be a number")
        return self


class StateRecord(OpenRecord):
    """What kft looks at in a trainer's state."""

    global_step: Count
    max_steps: int
    best_global_step: Count | None = None
    log_history: list[LogRecord]


class _TensorRecord(Record):
    """An entry of the header of a safetensors file."""

    dtype: str
    shape: list[Count]
    data_offsets: Annotated[list[Count], Field(min_length=2, max_length=2)]


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The trainer state of a checkpoint, checked.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    value = read_json(checkpoint / STATE)
    parse_record(StateRecord, value, checkpoint / STATE, "Remove the checkpoint.", "not the state of a training")
    state: dict[str, Any] = value
    return state


def step_of(checkpoint: Path) -> int:
    """Number of optimizer steps, from the folder's name."""
    return int(checkpoint.name.rpartition("-")[2])


def find_checkpoints(work: Path) -> list[Path]:
    """Checkpoint folders, newest first, complete or not."""
    found = [path for path in work.glob("checkpoint-*") if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=step_of, reverse=True)


def needed_files(processes: int, *, sharded: bool = False) -> tuple[str, ...]:
    """Names of the files written by torch.save (zip files) that a checkpoint of that many processes must have.

    Args:
        sharded: DeepSpeed keeps optimizer and scheduler in folders of its own, which are not checked.
    """
    random = ("rng_state.pth",) if processes == 1 else tuple(f"rng_state_{rank}.pth" for rank in range(processes))
    return random if sharded else ("optimizer.pt", "scheduler.pt", *random)


def newest_whole(work: Path, needed: Sequence[str]) -> Path | None:
    """The newest checkpoint that can be resumed from: it is complete, and so is the best one it refers to."""
    for checkpoint in find_checkpoints(work):
        if is_whole(checkpoint, needed) and _best_is_whole(checkpoint, needed):
            return checkpoint
    return None


def is_whole(checkpoint: Path, needed: Sequence[str]) -> bool:
    """Whether state, adapter and the ``needed`` files exist and are readable."""
    try:
        state = read_state(checkpoint)
        if state["global_step"] != step_of(checkpoint):
            return False
        read_adapter_config(checkpoint)
        _check_safetensors(checkpoint / "adapter_model.safetensors")
        for name in needed:
            with zipfile.ZipFile(checkpoint / name) as archive:
                if archive.testzip() is not None:  # a checksum is wrong
                    return False
    except (DataError, OSError, ValueError, zipfile.BadZipFile):
        return False
    return True


def _best_is_whole(checkpoint: Path, needed: Sequence[str]) -> bool:
    best = read_state(checkpoint).get("best_global_step")
    return not best or is_whole(checkpoint.parent / f"checkpoint-{best}", needed)


def _check_safetensors(path: Path) -> None:
    """Raise ValueError if the file's length does not match its header (no torch needed)."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= size - 8:
            raise ValueError("truncated header")
        header = parse_json(stream.read(length).decode())
    if not isinstance(header, dict):
        raise ValueError("not a header")
    tensors = [_TensorRecord.model_validate(entry) for name, entry in header.items() if name != "__metadata__"]
    if size != 8 + length + max((tensor.data_offsets[1] for tensor in tensors), default=0):
        raise ValueError("truncated data")


def prepare_work(work: Path, identity: dict[str, Any], needed: Sequence[str]) -> None:
    """Prepare the work folder for resuming: remove broken checkpoints and those of other requests.

    Args:
        identity: what a checkpoint depends on, as JSON values.
        needed: see :func:`needed_files`.
    """
    if (work / _IDENTITY).is_file() and _identity_of(work) != identity:
        logger.warning("%s: removing checkpoints of another request (or other library versions).", work)
        shutil.rmtree(work)
    elif work.exists() and not (work / _IDENTITY).is_file():
        for checkpoint in find_checkpoints(work):
            logger.warning("%s: removing a checkpoint of unknown origin.", checkpoint)
            shutil.rmtree(checkpoint)
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / _IDENTITY, identity)
    newest = newest_whole(work, needed)
    for checkpoint in find_checkpoints(work):
        if newest is None or step_of(checkpoint) > step_of(newest):
            logger.warning("%s: removing an incomplete checkpoint.", checkpoint)
            shutil.rmtree(checkpoint)


def _identity_of(work: Path) -> Any:
    try:
        return read_json(work / _IDENTITY)
    except DataError:
        return None
