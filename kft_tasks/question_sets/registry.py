"""Question sets by name: which ones there are (:data:`SETS`) and how to open one (:func:`open_set`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from kft_tasks.errors import UsageError, suggest
from kft_tasks.progress import ProgressCallback, no_progress
from kft_tasks.question_sets.info import OptionInfo, SetInfo
from kft_tasks.question_sets.loaders import (
    entityquestions,
    nq_open,
    own_files,
    popqa,
    simpleqa,
    triviaqa,
    wikiqa,
    worldfacts,
)
from kft_tasks.question_sets.splits.cleaning import Cleaned, divide_options
from kft_tasks.question_sets.splits.row_set import RowSet
from kft_tasks.questions import QuestionSet

__all__ = ["SETS", "OptionInfo", "SetInfo", "info_of", "open_set"]

_Open = Callable[[str | Path | None, Mapping[str, object] | None], QuestionSet]

SETS: dict[str, SetInfo] = {
    info.name: info
    for info in (
        worldfacts.INFO,
        entityquestions.INFO,
        wikiqa.INFO,
        own_files.INFO,
        popqa.INFO,
        triviaqa.INFO,
        nq_open.INFO,
        simpleqa.INFO,
    )
}


_OPEN: dict[str, _Open] = {  # those that need nothing but path and options; the others are in _open
    "worldfacts": worldfacts.open_worldfacts,
    "wikiqa": wikiqa.open_wikiqa,
    "questions": own_files.open_questions,
    "popqa": popqa.open_popqa,
    "triviaqa": triviaqa.open_triviaqa,
    "nq_open": nq_open.open_nq_open,
}


def info_of(name: str) -> SetInfo:
    """Look up a set.

    Raises:
        UsageError: there is no set of that name.
    """
    if name not in SETS:
        raise UsageError(f"There is no question set {name!r}. {suggest(name, SETS)}")
    return SETS[name]


def open_set(
    name: str,
    path: str | Path | None = None,
    options: Mapping[str, object] | None = None,
    progress: ProgressCallback = no_progress,
) -> QuestionSet:
    """Open a question set.

    The data come from ``path``, else from ``$KFT_DATA_<NAME>``, else from ``$KFT_DATA/<name>``, else from a cache,
    else from the set's public source.

    Args:
        name: one of :data:`SETS`.
        path: local folder or file.
        options: see ``SETS[name].options``; every set also has those of ``splits.cleaning.OPTIONS``.
        progress: told about kft's own downloads; the hub's client draws bars of its own.

    Raises:
        UsageError: an unknown set, an unknown option or an invalid value.
        UnavailableError: the data are not on this machine and could not be fetched; the message says how to supply
            them.
        DataError: the data are there but cannot be used.

    Example:
        >>> next(open_set("worldfacts").split("test")).answers  # doctest: +SKIP
        ('Zagreb',)
    """
    info = info_of(name)
    own, cleaning = divide_options(info, options)
    questions = _open(name, path, own, progress)
    if not any(cleaning.values()):
        return questions
    if cleaning["deduplicate"] and isinstance(questions, RowSet):
        questions.allow_copies()
    return Cleaned(info, questions, **cleaning)


def _open(name: str, path: str | Path | None, options: Mapping[str, object], progress: ProgressCallback) -> QuestionSet:
    if name == "entityquestions":
        return entityquestions.open_entityquestions(path, options, progress)
    if name == "simpleqa":
        return simpleqa.open_simpleqa(path, options, open_other=partial(open_set, progress=progress))
    return _OPEN[name](path, options)
