"""A small task of lm-eval on a local file."""

from __future__ import annotations

import json
from pathlib import Path

TASK = """\
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata: {{version: 2.0}}
"""


def task_folder(folder: Path, count: int = 12) -> Path:
    """A folder with one multiple-choice task on a local file."""
    folder.mkdir(parents=True)
    rows = [{"question": f"{n} and {n} is", "choices": [str(2 * n), str(n)], "label": n % 2} for n in range(count)]
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (folder / "tiny_choice.yaml").write_text(TASK.format(data=folder / "data.jsonl"), encoding="utf-8")
    return folder
