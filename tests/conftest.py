"""Fixtures that several folders share. Every test starts without the user's settings and with an empty cache."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("kft", deadline=None, derandomize=True, database=None, max_examples=200)
settings.load_profile("kft")

SHARED = Path(__file__).parents[2] / "shared" / "data"
_USERS_CACHE = os.environ.get("KFT_CACHE")
_USERS_SETTINGS = ("KFT_FAST", "KFT_LM_EVAL_HOOK", "KFT_DATA", "RANK", "WORLD_SIZE", "LOCAL_RANK", "OPENAI_API_KEY")


@pytest.fixture(autouse=True)
def user_state_in_a_temporary_folder(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kft_tasks.question_sets.registry import SETS

    for name in (*_USERS_SETTINGS, *(info.env for info in SETS.values())):
        monkeypatch.delenv(name, raising=False)
    if request.node.get_closest_marker("model") is None:  # the embedded model is fetched once, into the user's cache
        monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The real small model, from the user's own cache; for tests marked ``model``."""
    from kft_tasks.models.locate import model_folder

    with pytest.MonkeyPatch.context() as patch:
        if _USERS_CACHE is None:
            patch.delenv("KFT_CACHE", raising=False)
        else:
            patch.setenv("KFT_CACHE", _USERS_CACHE)
        return model_folder("smollm2-135m")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Llama."""
    from kft_tasks.models.weights import quiet_transformers
    from tiny import make_tiny_model

    with quiet_transformers():
        return make_tiny_model(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny random model by architecture, made once."""
    from kft_tasks.models.weights import quiet_transformers
    from tiny import liven, make_tiny_model

    root = tmp_path_factory.mktemp("tiny")

    def folder(architecture: str) -> Path:
        if not (root / architecture).is_dir():
            with quiet_transformers():
                liven(make_tiny_model(root / architecture, architecture))
        return root / architecture

    return folder


@pytest.fixture(scope="session")
def tiny_lm(tiny_folder: Callable[[str], Path]) -> Iterator[Callable[..., Any]]:
    """A new lm-eval model on a tiny folder: ``tiny_lm("llama", batch_size=4)``."""
    from lm_eval.models.huggingface import HFLM

    from kft_tasks.models.weights import quiet_transformers

    def make(architecture: str = "llama", *, cls: type = HFLM, batch_size: int = 4, **kwargs: Any) -> Any:
        with quiet_transformers():
            return cls(
                pretrained=str(tiny_folder(architecture)),
                dtype="float32",
                device="cpu",
                batch_size=batch_size,
                **kwargs,
            )

    stock = HFLM.generate_until
    yield make
    HFLM.generate_until = stock


@pytest.fixture
def stock_lm_eval() -> Iterator[None]:
    """Lm-eval's classes as they were: kft's tasks change how they generate."""
    from lm_eval.models.api_models import TemplateAPI
    from lm_eval.models.huggingface import HFLM

    methods = {cls: cls.generate_until for cls in (TemplateAPI, HFLM)}
    yield
    for cls, method in methods.items():
        cls.generate_until = method


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a report; tests of its text leave it out."""
    monkeypatch.setattr("kft_cli.report.figures.draw_figures", lambda report, folder: [])


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """A folder of real data beside the project; the test is skipped where there is none."""

    def find(name: str) -> Path:
        folder = SHARED / name
        if not folder.is_dir():
            pytest.skip(f"{folder} is not here")
        return folder

    return find


@pytest.fixture
def write() -> Callable[[Path, Sequence[Mapping[str, Any]]], Path]:
    """Write rows in the format that the suffix names."""

    def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        elif path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        elif path.suffix == ".json":
            path.write_text(json.dumps(list(rows)), encoding="utf-8")
        else:
            import csv

            with path.open("w", newline="", encoding="utf-8") as stream:
                delimiter = "\t" if path.suffix == ".tsv" else ","
                writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
                writer.writeheader()
                writer.writerows(rows)
        return path

    return write_rows


def pytest_collection_finish() -> None:
    """Libraries and tests stay until the end: trainers collect garbage often, and need not look at them each time."""
    gc.collect()
    gc.freeze()
