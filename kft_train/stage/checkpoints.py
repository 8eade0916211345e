"""Which checkpoint of a killed training can be trusted.

The trainer writes a checkpoint file by file. From a broken one it either resumes silently with a different result
(a missing optimizer.pt) or crashes. So a manifest with size and SHA-256 of every file is written last, all of it is
checked before a checkpoint is used, and checkpoints that are not as they were saved are removed.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator
from typing_extensions import Self

from kft_tasks.errors import DataError, DiskFullError, KftError, shortened
from kft_tasks.file_manifest import describe_files, find_difference
from kft_tasks.files import full_disk_named, read_json, remove, write_json
from kft_tasks.records import Count, Loss, OpenRecord, Record, Seconds, parse_record, read_record

logger = logging.getLogger(__name__)

STATE = "trainer_state.json"
MANIFEST = "manifest.json"
_IDENTITY = "request.json"
_FORMAT = "kft-checkpoint/1"
_TORCH = ("StreamWriter failed", "inline_container", "iostream error")  # torch.save does not say why it cannot write
_NO_SPACE = ("No space left", "File too large", "quota exceeded", "os error 28", "os error 27")


class LogRecord(OpenRecord):
    """An entry of the log: a step of training, or a validation, or the totals at the end."""

    step: Count
    epoch: Seconds
    loss: Loss | None = None
    loss_tokens: Count | None = None
    seconds: Seconds | None = None
    cpu_seconds: Seconds | None = None
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


class _FileRecord(Record):
    """A file of a checkpoint."""

    bytes: Count
    sha256: str


class _ManifestRecord(Record):
    """What is in a checkpoint: every file by its path in the folder."""

    format: Literal["kft-checkpoint/1"]
    files: dict[str, _FileRecord]


@contextmanager
def saving(checkpoint: Path) -> Iterator[None]:
    """Name the checkpoint (or result) that did not fit on the disk: the libraries that write it hardly say so.

    Raises:
        DiskFullError: there is no space left.
    """
    try:
        with full_disk_named(checkpoint):
            yield
    except KftError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if not any(words in reason for words in (*_NO_SPACE, *_TORCH)):
            raise
        raise DiskFullError(
            f"{checkpoint}: cannot be written ({shortened(reason)}). Free space and run the same command again."
        ) from error


def write_manifest(checkpoint: Path) -> None:
    """Record what is in a checkpoint; nothing may be written to it afterwards."""
    files = describe_files(checkpoint, _files_of(checkpoint))
    write_json(checkpoint / MANIFEST, {"format": _FORMAT, "files": files})


def _files_of(checkpoint: Path) -> list[str]:
    """Everything in a checkpoint that is no folder, by its path in it, without the manifest."""
    names = [path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if not path.is_dir()]
    return sorted(name for name in names if name != MANIFEST)


def rotate(work: Path, limit: int | None, best: int | None) -> None:
    """Remove the oldest checkpoints by their number of steps, whatever the clock says.

    Args:
        limit: number of checkpoints to keep; None keeps all.
        best: number of steps of one that is kept in any case, like the newest.
    """
    found = find_checkpoints(work)
    keep = {step_of(path) for path in found[:1]} | ({best} if best else set())
    for path in found:
        if len(keep) < (limit or len(found)):
            keep.add(step_of(path))
    for path in found:
        if step_of(path) not in keep:
            shutil.rmtree(path)


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
    return [path for path in _named_as_checkpoints(work) if path.is_dir()] if work.is_dir() else []


def needed_files(processes: int, *, sharded: bool = False) -> tuple[str, ...]:
    """Names of files that a checkpoint of that many processes must have.

    Args:
        sharded: DeepSpeed keeps optimizer and scheduler in folders of its own.
    """
    random = ("rng_state.pth",) if processes == 1 else tuple(f"rng_state_{rank}.pth" for rank in range(processes))
    return random if sharded else ("optimizer.pt", "scheduler.pt", *random)


def newest_whole(work: Path, needed: Sequence[str]) -> Path | None:
    """The newest checkpoint that can be resumed from: it is complete, and so is the best one it refers to."""
    return next((path for path in find_checkpoints(work) if find_damage(path, needed) is None), None)


def find_damage(checkpoint: Path, needed: Sequence[str]) -> str | None:
    """Why a checkpoint cannot be resumed from, in a few words; None if it can."""
    if damage := _own_damage(checkpoint, needed):
        return damage
    best = read_state(checkpoint).get("best_global_step")
    if not best or best == step_of(checkpoint):
        return None
    damage = _own_damage(checkpoint.parent / f"checkpoint-{best}", needed)
    return f"its best one, checkpoint-{best}: {damage}" if damage else None


def _own_damage(checkpoint: Path, needed: Sequence[str]) -> str | None:
    try:
        manifest = read_record(_ManifestRecord, checkpoint / MANIFEST, "Remove the checkpoint.")
        found = _files_of(checkpoint)
        if different := sorted({*found, STATE, *needed} ^ {*manifest.files}):
            return f"{different[0]} is {'missing' if different[0] not in found else 'not part of it'}"
        recorded = {name: (one.bytes, one.sha256) for name, one in manifest.files.items()}
        if difference := find_difference(checkpoint, recorded):
            return ": ".join(difference)
        return None if read_state(checkpoint)["global_step"] == step_of(checkpoint) else "it is of another step"
    except (DataError, OSError, ValueError) as error:
        incomplete = checkpoint.is_dir() and not (checkpoint / MANIFEST).exists()
        return "incomplete" if incomplete else shortened(str(error).partition(". ")[0])


def prepare_work(work: Path, identity: dict[str, Any], needed: Sequence[str]) -> None:
    """Prepare the work folder for resuming: remove damaged checkpoints and those of other requests.

    Args:
        identity: what a checkpoint depends on, as JSON values.
        needed: see :func:`needed_files`.
    """
    if os.path.lexists(work) and not work.is_dir():
        logger.warning("%s: removing a file where the folder of checkpoints should be.", work)
        work.unlink()
    if work.exists() and (found := _identity_of(work)) != identity:
        if found is None:
            for checkpoint in _named_as_checkpoints(work):
                logger.warning("%s: removing a checkpoint of unknown origin.", checkpoint)
                remove(checkpoint)
            remove(work / _IDENTITY)
        else:
            logger.warning("%s: removing checkpoints of another request (or other library versions).", work)
            shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / _IDENTITY, identity)
    for path in _named_as_checkpoints(work):  # newest first; of those behind a whole one, none is looked at
        damage = find_damage(path, needed)
        if damage is None:
            return
        logger.warning("%s: removing a damaged checkpoint (%s); training resumes before it.", path, damage)
        remove(path)


def _named_as_checkpoints(work: Path) -> list[Path]:
    """Whatever has the name of a checkpoint, a file too, newest first."""
    found = [path for path in work.iterdir() if re.fullmatch(r"checkpoint-[0-9]{1,12}", path.name)]
    return sorted(found, key=step_of, reverse=True)


def _identity_of(work: Path) -> Any:
    """What the checkpoints depend on; None if it is not recorded, or not readable."""
    try:
        return read_json(work / _IDENTITY)
    except DataError:
        return None
