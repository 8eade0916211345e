"""Stages end to end on a tiny model: resuming, choosing the epoch, starting from an adapter."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import DataError, StateError, UsageError
from kft_train.data.mixture import Mixture, PartCount
from kft_train.data.rows import IGNORED, Rows, ValidationPrompt, training_rows
from kft_train.errors import RecipeError, StageInterruptedError
from kft_train.recipes.recipe import AdapterConfig
from kft_train.stage import train as stage_module
from kft_train.stage.checkpoints import find_checkpoints
from kft_train.stage.request import StageRequest, StageResult, finished_stage
from kft_train.stage.train import train_stage
from train_helpers import make_mixture, make_question, make_request, make_stage

FLOAT32 = {"bf16": False}


def adapter_bytes(result: StageResult) -> bytes:
    return (result.adapter / "adapter_model.safetensors").read_bytes()


def without_times(result: StageResult) -> dict[str, Any]:
    summary = json.loads(json.dumps(result.summary))
    del summary["cost"]["seconds"], summary["cost"]["cpu_seconds"]
    return summary  # type: ignore[no-any-return]


def at_step(number: int, action: Callable[[], None]) -> Callable[[int, int, str], None]:
    def report(done: int, total: int, note: str) -> None:
        if done == number and "loss" in note:
            action()

    return report


def die() -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> StageResult:
    return train_stage(make_request(tiny_model, tmp_path_factory.mktemp("undisturbed")))


@pytest.fixture(scope="module")
def broken_off(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose stage died at step 9 of 15, with checkpoints 5 (end of epoch 1, the best) and 8."""
    folder = tmp_path_factory.mktemp("broken_off")
    request = make_request(tiny_model, folder)
    with pytest.raises(KeyboardInterrupt):
        train_stage(request, at_step(9, die))
    assert [path.name for path in find_checkpoints(request.work)] == ["checkpoint-8", "checkpoint-5"]
    assert finished_stage(request) is None
    return folder


def test_a_finished_stage_has_an_adapter_and_a_summary_and_no_checkpoints(
    undisturbed: StageResult, tiny_model: Path
) -> None:
    assert sorted(path.name for path in undisturbed.folder.parent.iterdir()) == ["stage1"]
    assert sorted(path.name for path in undisturbed.adapter.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((undisturbed.adapter / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(tiny_model)
    assert config["target_modules"] == sorted(config["target_modules"])
    assert [row["epoch"] for row in undisturbed.summary["epochs"]] == [0, 1, 2, 3]
    assert [row["asked"] for row in undisturbed.summary["epochs"]] == [6] * 4
    assert undisturbed.summary["epochs"][0]["loss"] is None
    assert undisturbed.summary["chosen_epoch"] == 1  # the first of equal epochs
    assert "NOT better than the starting point (0/6)" in undisturbed.summary["note"]


def test_tokens_are_counted_without_padding(undisturbed: StageResult, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    request = make_request(tiny_model, undisturbed.folder.parent)
    questions = [item.question for item in request.mixture.items]
    rows = training_rows(questions, request.protocol, AutoTokenizer.from_pretrained(tiny_model), "completion")
    cost = undisturbed.summary["cost"]
    assert cost["steps"] == 15
    assert cost["input_tokens"] == 3 * sum(map(len, rows.input_ids))
    assert cost["loss_tokens"] == 3 * rows.loss_tokens
    assert cost["seconds"] > 0


def test_a_finished_stage_is_not_trained_again_and_not_mistaken_for_another(
    undisturbed: StageResult, tiny_model: Path
) -> None:
    def never(done: int, total: int, note: str) -> None:
        raise AssertionError("trained again")

    folder = undisturbed.folder.parent
    assert train_stage(make_request(tiny_model, folder), never) == undisturbed
    with pytest.raises(StateError, match="holds something other than this stage"):
        train_stage(make_request(tiny_model, folder, learning_rate=1e-3), never)


def test_training_prints_nothing(tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_stage(make_request(tiny_model, tmp_path, num_train_epochs=1))
    assert capfd.readouterr() == ("", "")


def test_killed_in_mid_epoch_and_resumed_gives_the_same_bytes(
    tiny_model: Path, tmp_path: Path, undisturbed: StageResult
) -> None:
    spec = json.dumps({"model": str(tiny_model), "pause": 0.2})
    command = [sys.executable, str(Path(__file__).parents[1] / "helpers" / "train_helpers.py"), str(tmp_path), spec]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("9 "):
                child.kill()
                break
    assert child.returncode == -signal.SIGKILL
    request = make_request(tiny_model, tmp_path)
    assert (request.work / "checkpoint-8").is_dir()
    assert finished_stage(request) is None
    steps: list[int] = []
    result = train_stage(request, lambda done, total, note: steps.append(done))
    assert steps[0] == 9
    assert adapter_bytes(result) == adapter_bytes(undisturbed)
    assert without_times(result) == without_times(undisturbed)


def no_optimizer(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").unlink()


def no_state(checkpoint: Path) -> None:
    (checkpoint / "trainer_state.json").unlink()


def broken_state(checkpoint: Path) -> None:
    (checkpoint / "trainer_state.json").write_text('{"global_step": 8, ', encoding="utf-8")


def short_adapter(checkpoint: Path) -> None:
    path = checkpoint / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def no_random_state(checkpoint: Path) -> None:
    (checkpoint / "rng_state.pth").unlink()


def flipped_bit(checkpoint: Path) -> None:
    path = checkpoint / "optimizer.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "first_step"),
    [
        ([no_optimizer], 6),
        ([no_state], 6),
        ([broken_state], 6),
        ([short_adapter], 6),
        ([no_random_state], 6),
        ([flipped_bit], 6),
        ([no_state, no_optimizer], 0),
    ],
    ids=["optimizer", "state", "broken-state", "adapter", "random-state", "bit", "both-checkpoints"],
)
def test_an_incomplete_checkpoint_is_never_resumed_from(
    tiny_model: Path,
    tmp_path: Path,
    broken_off: Path,
    undisturbed: StageResult,
    damage: list[Callable[[Path], None]],
    first_step: int,
) -> None:
    request = make_request(tiny_model, tmp_path)
    shutil.copytree(broken_off / "work", request.work)
    for harm, checkpoint in zip(damage, find_checkpoints(request.work), strict=False):
        harm(checkpoint)
    steps: list[int] = []
    result = train_stage(request, lambda done, total, note: steps.append(done))
    assert steps[0] == first_step
    assert adapter_bytes(result) == adapter_bytes(undisturbed)
    assert without_times(result) == without_times(undisturbed)


def test_a_checkpoint_of_another_request_is_not_resumed_from(
    tiny_model: Path, tmp_path: Path, broken_off: Path
) -> None:
    request = make_request(tiny_model, tmp_path / "a", num_train_epochs=1, count=16)
    shutil.copytree(broken_off / "work", request.work)
    steps: list[int] = []
    resumed = train_stage(request, lambda done, total, note: steps.append(done))
    assert steps[0] == 0
    fresh = train_stage(make_request(tiny_model, tmp_path / "b", num_train_epochs=1, count=16))
    assert adapter_bytes(resumed) == adapter_bytes(fresh)


def test_sigterm_saves_and_does_not_look_like_a_finished_stage(
    tiny_model: Path, tmp_path: Path, undisturbed: StageResult
) -> None:
    request = make_request(tiny_model, tmp_path, save_steps=None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StageInterruptedError, match="saved at step 7"):
        train_stage(request, at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert signal.getsignal(signal.SIGTERM) is before
    assert finished_stage(request) is None
    steps: list[int] = []
    result = train_stage(request, lambda done, total, note: steps.append(done))
    assert steps[0] == 8
    assert adapter_bytes(result) == adapter_bytes(undisturbed)
    assert result.summary["epochs"] == undisturbed.summary["epochs"]


def test_sigterm_in_the_last_step_of_an_epoch_evaluates_it_first(tiny_model: Path, tmp_path: Path) -> None:
    request = make_request(tiny_model, tmp_path, num_train_epochs=2)
    with pytest.raises(StageInterruptedError, match="saved at step 5"):
        train_stage(request, at_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert [row["epoch"] for row in train_stage(request).summary["epochs"]] == [0, 1, 2]


def test_a_stage_killed_after_training_only_writes_its_output_when_resumed(
    tiny_model: Path, tmp_path: Path, undisturbed: StageResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request(tiny_model, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "commit", lambda *args: die())
        with pytest.raises(KeyboardInterrupt):
            train_stage(request)
    assert finished_stage(request) is None
    steps: list[int] = []
    result = train_stage(request, lambda done, total, note: steps.append(done))
    assert steps == []
    assert adapter_bytes(result) == adapter_bytes(undisturbed)
    assert without_times(result) == without_times(undisturbed)


def scores(monkeypatch: pytest.MonkeyPatch, values: list[int]) -> None:
    """Make validation return these counts of correct answers, from epoch 0."""
    from kft_train.stage.trainer import KftTrainer

    monkeypatch.setattr(KftTrainer, "count_right", lambda self: values[round(self.state.epoch or 0)])


def test_early_stopping_saves_the_best_adapter_exactly(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, [1, 2, 4, 3, 4, 6])
    constant = {"lr_scheduler_type": "constant"}
    stopped = train_stage(make_request(tiny_model, tmp_path / "a", num_train_epochs=5, patience=2, **constant))
    assert stopped.summary["stopped_early"]
    assert stopped.summary["chosen_epoch"] == 2
    assert stopped.summary["better_than_start"]
    assert [row["right"] for row in stopped.summary["epochs"]] == [1, 2, 4, 3, 4]
    short = train_stage(make_request(tiny_model, tmp_path / "b", num_train_epochs=2, patience=2, **constant))
    assert adapter_bytes(stopped) == adapter_bytes(short)


def test_patience_survives_a_kill_and_training_does_not_continue_after_an_early_stop(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, [1, 2, 1, 1, 9, 9])
    request = make_request(tiny_model, tmp_path, num_train_epochs=5, patience=2)
    with pytest.raises(KeyboardInterrupt):
        train_stage(request, at_step(13, die))
    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "commit", lambda *args: die())
        with pytest.raises(KeyboardInterrupt):
            train_stage(request)
    result = train_stage(request)
    assert [row["right"] for row in result.summary["epochs"]] == [1, 2, 1, 1]
    assert result.summary["chosen_epoch"] == 1


def test_a_stage_without_a_better_epoch_is_an_error_if_keep_if_worse_is_false(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, [3, 2, 3])
    request = make_request(tiny_model, tmp_path, num_train_epochs=2, keep_if_worse=False)
    for _ in range(2):  # the second time it is not trained again and raises the same error
        with pytest.raises(DataError, match=r"no epoch is better in validation than the starting point \(3/6 right\)"):
            train_stage(request)
    assert finished_stage(request) is None
    kept = train_stage(make_request(tiny_model, tmp_path, num_train_epochs=2))
    assert kept.summary["keep_if_worse"] is True
    assert kept.summary["better_than_start"] is False
    scores(monkeypatch, [3, 2, 4])
    better = train_stage(make_request(tiny_model, tmp_path / "b", num_train_epochs=2, keep_if_worse=False))
    assert better.summary["keep_if_worse"] is False
    assert better.summary["chosen_epoch"] == 2


@pytest.mark.parametrize("start", ["new", "continue", "merged"])
def test_a_training_that_changes_nothing_is_an_error(tiny_model: Path, tmp_path: Path, start: str) -> None:
    changes: dict[str, Any] = {"start": start, "output": tmp_path / "still", "name": "still", "count": 4}
    if start != "new":
        changes["previous"] = first_adapter(tiny_model, tmp_path).adapter
    changes["warmup_steps"] = 5.0  # the learning rate of the only step is 0
    request = make_request(tiny_model, tmp_path, num_train_epochs=1, **changes)
    with pytest.raises(DataError, match="'still': training did not change the adapter"):
        train_stage(request)
    assert finished_stage(request) is None


def test_a_stage_without_a_single_label_is_an_error(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = stage_module.training_rows

    def masked(*args: Any) -> Rows:
        rows = original(*args)
        return dataclasses.replace(rows, labels=[[IGNORED] * len(row) for row in rows.labels])

    monkeypatch.setattr(stage_module, "training_rows", masked)
    with pytest.raises(DataError, match="'stage1': all labels of its 20 rows are masked"):
        train_stage(make_request(tiny_model, tmp_path))


def with_pool(mixture: Mixture) -> Mixture:
    """The mixture with its last eight questions redrawn from a pool of 28."""
    redrawn = tuple(dataclasses.replace(item, part="replay") for item in make_mixture(40).items[12:])
    parts = (PartCount("all", 12, 12), PartCount("replay", 28, 8))
    return Mixture((*mixture.items[:12], *redrawn[:8]), parts, 0, {"replay": redrawn})


def test_redrawn_questions_change_with_the_epoch_and_resuming_in_mid_epoch_gives_the_same_bytes(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kft_train.stage.epoch_rows import EpochRows

    seen: list[int] = []
    original = EpochRows.__getitem__

    def get(self: EpochRows, position: int) -> dict[str, list[int]]:
        seen.append(self._current[position])
        return original(self, position)

    monkeypatch.setattr(EpochRows, "__getitem__", get)

    def request(folder: Path) -> StageRequest:
        made = make_request(tiny_model, folder)
        return dataclasses.replace(made, mixture=with_pool(made.mixture))

    whole = train_stage(request(tmp_path / "a"))
    mixture = request(tmp_path).mixture
    position = {item.question.id: index for index, item in enumerate(mixture.all_items)}
    for epoch in range(3):
        expected = sorted(position[item.question.id] for item in mixture.items_of(epoch))
        assert sorted(seen[20 * epoch : 20 * (epoch + 1)]) == expected
    assert len(seen) == 60
    with pytest.raises(KeyboardInterrupt):
        train_stage(request(tmp_path / "b"), at_step(9, die))
    assert adapter_bytes(train_stage(request(tmp_path / "b"))) == adapter_bytes(whole)
    plain = make_request(tiny_model, tmp_path)
    assert (
        request(tmp_path).digest()
        != dataclasses.replace(plain, mixture=dataclasses.replace(mixture, pools={})).digest()
    )


def first_adapter(tiny_model: Path, folder: Path, **changes: Any) -> StageResult:
    return train_stage(make_request(tiny_model, folder, num_train_epochs=2, sft=FLOAT32, **changes))


@pytest.mark.parametrize("start", ["continue", "merged"])
def test_a_second_stage_starts_where_the_first_ended_and_one_adapter_holds_both(
    tiny_model: Path, tmp_path: Path, start: str
) -> None:
    first = first_adapter(tiny_model, tmp_path)
    chosen = first.summary["epochs"][first.summary["chosen_epoch"]]
    changes = {"start": start, "previous": first.adapter, "output": tmp_path / "stage2", "name": "stage2"}
    second = train_stage(make_request(tiny_model, tmp_path, num_train_epochs=2, sft=FLOAT32, **changes))
    assert second.summary["epochs"][0]["validation_loss"] == pytest.approx(chosen["validation_loss"], abs=1e-5)
    config = json.loads((second.adapter / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(tiny_model)
    assert config["r"] == {"continue": 4, "merged": 8}[start]
    again = {"start": "continue", "previous": second.adapter, "output": tmp_path / "stage3", "name": "stage3"}
    third = train_stage(make_request(tiny_model, tmp_path, num_train_epochs=1, sft=FLOAT32, **again))
    chosen = second.summary["epochs"][second.summary["chosen_epoch"]]
    assert third.summary["epochs"][0]["validation_loss"] == pytest.approx(chosen["validation_loss"], abs=1e-5)


@pytest.mark.parametrize("start", ["continue", "merged"])
def test_a_second_stage_that_is_killed_and_resumed_gives_the_same_bytes(
    tiny_model: Path, tmp_path: Path, start: str
) -> None:
    first = first_adapter(tiny_model, tmp_path)

    def request(name: str) -> StageRequest:
        changes = {"start": start, "previous": first.adapter, "output": tmp_path / name / "stage2", "name": "stage2"}
        return make_request(tiny_model, tmp_path / name, num_train_epochs=2, weight_decay=0.1, **changes)

    whole = train_stage(request("a"))
    with pytest.raises(KeyboardInterrupt):
        train_stage(request("b"), at_step(9, die))
    steps: list[int] = []
    assert adapter_bytes(train_stage(request("b"), lambda done, total, note: steps.append(done))) == adapter_bytes(
        whole
    )
    assert steps[0] == 9


def test_impossible_requests_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    request = make_request(tiny_model, tmp_path)
    for changes, error, message in [
        ({"validation": ()}, DataError, "no validation questions"),
        ({"validation": (ValidationPrompt(make_question(1, "test")),)}, DataError, "of the test split"),
        (
            {"validation": (ValidationPrompt(request.mixture.items[0].question),)},
            DataError,
            "in the mixture and in validation",
        ),
        ({"mixture": dataclasses.replace(request.mixture, items=())}, DataError, "no questions to train on"),
        ({"stage": make_stage(start="continue")}, UsageError, "needs the adapter of the stage before"),
        ({"previous": tmp_path}, UsageError, "starts from no adapter"),
        ({"previous": tmp_path, "stage": make_stage(start="merged")}, DataError, "no adapter"),
        ({"stage": make_stage(lr_scheduler_type="cosin")}, RecipeError, "SFTConfig refuses its values"),
        ({"adapter": AdapterConfig(target_modules=["no_proj"])}, RecipeError, "Correct target_modules"),
    ]:
        with pytest.raises(error, match=message):
            train_stage(dataclasses.replace(request, **changes))


def test_a_relative_model_path_becomes_absolute_in_the_adapter(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    result = train_stage(make_request(Path(tiny_model.name), tmp_path, num_train_epochs=1))
    config = json.loads((result.adapter / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(tiny_model)


def test_two_processes_train_one_stage_and_only_the_first_writes(tiny_model: Path, tmp_path: Path) -> None:
    spec = json.dumps({"model": str(tiny_model), "num_train_epochs": 2, "count": 22})
    helper = str(Path(__file__).parents[1] / "helpers" / "train_helpers.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, helper, str(tmp_path), spec], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "stage1" / "training.json").read_text("utf-8"))
    assert summary["processes"] == 2
    assert summary["effective_batch_size"] == 8
    assert summary["questions_left_out_per_epoch"] == 6
    assert [row["asked"] for row in summary["epochs"]] == [6, 6, 6]
    assert summary["cost"]["steps"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stage1"]
