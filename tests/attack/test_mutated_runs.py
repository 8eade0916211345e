"""A run folder in which one value of one JSON file is changed: reported without harm, or refused with one error."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_cli.pipeline.run_folder import RunFolder
from kft_cli.report.measures.repetition import describe_repetition, measure_cost
from kft_cli.report.measures.training import describe_stage
from kft_cli.report.run_data import RunData, read_run
from kft_cli.report.run_records import read_about, read_step
from kft_tasks.errors import DataError
from kft_tasks.models.adapter_config import read_lora_config
from kft_tasks.models.weights import adapter_digest
from kft_train.stage.checkpoints import read_state
from kft_train.stage.output import epoch_table
from kft_train.stage.training_log import has_ended, training_cost
from kft_train.stage.training_record import read_training
from mutating import try_all
from report_helpers import small_run

TINY = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "tiny-run"


def _mutate(file: Path, tree: Any, use: Callable[[], object]) -> Any:
    def read(value: Any) -> None:
        file.write_text(json.dumps(value), encoding="utf-8")
        use()

    outcome = try_all(tree, read, file.name)
    assert not outcome.wrong, str(outcome)
    return outcome


def _about(data: RunData, path: Path) -> object:
    return describe_repetition(dataclasses.replace(data, about=read_about(path)))


def _steps(data: RunData, path: Path) -> object:
    return measure_cost(dataclasses.replace(data, steps=(*data.steps, {**read_step(path, "Remove it."), "step": "x"})))


def _training(data: RunData, path: Path) -> object:
    return describe_stage(data, dataclasses.replace(data.stages[0], training=read_training(path)))


USES = {
    "run.json": _about,
    "detect-base/step.json": _steps,
    "stage1/step.json": _steps,
    "stage1/training.json": _training,
}
OPEN = ("versions", "tokens", "generations", "precision", "'epochs', 0", "'epochs', 2")  # any key may be in these


@pytest.mark.parametrize("name", USES)
def test_a_mutated_file_of_a_run_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    data = read_run(small_run(tmp_path / "run"))
    older = json.loads((TINY / name).read_text(encoding="utf-8"))  # has every key that kft writes
    if name == "stage1/training.json":
        older["stage"], older["sft"], older["adapter"] = {}, {}, {}
    path = tmp_path / Path(name).name
    outcome = _mutate(path, older, lambda: json.dumps(USES[name](data, path)))
    assert outcome.refused > 60
    settings = ("'stage'", "'sft'", "'adapter'")
    odd = [one for one in outcome.read if "one key more" in one and not any(key in one for key in (*OPEN, *settings))]
    assert not odd, odd


@pytest.mark.parametrize("name", USES)
def test_a_broken_file_of_a_run_is_named_when_the_run_is_read(name: str, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    (run / name).write_text('{"command": 5}', encoding="utf-8")
    with pytest.raises(DataError, match=name):
        read_run(run)


def test_a_step_with_a_mutated_record_is_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = small_run(tmp_path / "run")
    (run / ".kft-run").touch()
    path = run / "detect-base" / "step.json"
    outputs = {"categories.jsonl": {"bytes": 1, "sha256": "00" * 32}}
    tree = {**json.loads(path.read_text(encoding="utf-8")), "outputs": outputs}
    done: list[bool] = []
    outcome = _mutate(path, tree, lambda: done.append(RunFolder(run).is_done("detect-base", {})))
    assert outcome.refused == 0
    assert len(done) > 60
    assert not any(done)
    assert capsys.readouterr().err.count("The step detect-base is done again.") > 60


def test_a_mutated_configuration_of_an_adapter_is_refused_or_harmless(tmp_path: Path) -> None:
    source = TINY / "stage2" / "adapter"
    (tmp_path / "adapter_model.safetensors").write_bytes((source / "adapter_model.safetensors").read_bytes())
    path = tmp_path / "adapter_config.json"
    tree = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))

    def use() -> None:
        adapter_digest(tmp_path)
        config = read_lora_config(tmp_path)
        assert config["r"] * config["lora_alpha"] >= 0
        assert config["target_modules"]

    tree["rank_pattern"] = {"q_proj": 4}
    outcome = _mutate(
        path,
        {key: tree[key] for key in ("r", "peft_type", "lora_alpha", "rank_pattern", "bias")}
        | {"target_modules": ["q", "v"]},
        use,
    )
    assert outcome.refused > 60


def test_a_mutated_state_of_a_training_is_refused_or_used(tmp_path: Path) -> None:
    step = {"loss": 2.0, "loss_tokens": 10, "seconds": 1.0, "num_input_tokens_seen": 30, "epoch": 0.5, "step": 1}
    start = {"eval_loss": 2.0, "eval_x": 0.5, "eval_right": 1, "eval_asked": 2, "epoch": 0.0, "step": 0}
    tree = {
        "global_step": 1,
        "max_steps": 2,
        "best_global_step": 1,
        "log_history": [start, step, {**copy.deepcopy(start), "epoch": 1.0, "step": 1}],
    }
    path = tmp_path / "trainer_state.json"

    def use() -> None:
        state = read_state(tmp_path)
        epoch_table(state["log_history"], "x")
        training_cost(state["log_history"])
        has_ended(state, "x", 2)

    outcome = _mutate(path, tree, use)
    assert outcome.refused > 60


def test_a_run_with_a_step_of_another_kind_is_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    (run / "detect-base" / "step.json").write_text('{"seconds": 1, "step": "x"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"step\.json: broken \(inputs: Field required\)\. Remove .* resume"):
        read_run(run)
