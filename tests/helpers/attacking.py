"""Hostile files, and a process with bounded memory that reads them: ``python attacking.py FOLDER`` or ``... SEED CASES``.

The process prints one JSON object: for each file how reading ended, and the peak memory over that at the start.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MEMORY = 1 << 30  # bytes that reading may take
SECONDS = 10  # that reading one file may take


def read_folder(folder: Path) -> dict[str, Any]:
    """Read all files of a folder in one process of their own."""
    return _in_process(str(folder))


def fuzz(seed: int, cases: int) -> dict[str, Any]:
    """Read mutated files in one process of their own."""
    return _in_process(str(seed), str(cases))


def _in_process(*arguments: str) -> dict[str, Any]:
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise AssertionError(f"the process ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class _TooLongError(BaseException):
    """The alarm."""


def _too_long(*_: Any) -> None:
    raise _TooLongError


def read(path: Path) -> str:
    """Read one file by the reader that its name asks for; "read", "refused: ..." or what went wrong."""
    from kft_tasks.errors import KftError

    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        _reader(path)
    except KftError as error:
        text = str(error)
        return f"refused: {text}" if path.name in text and len(text) < 2000 else f"unclear: {text[:300]}"
    except _TooLongError:
        return "too long"
    except BaseException as error:  # a traceback, or out of memory
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
    return "read"


def _reader(path: Path) -> None:
    from kft_tasks.files import read_json
    from kft_tasks.question_sets.registry import open_set
    from kft_tasks.question_sets.storage.archive import unpack
    from kft_train.recipes.strict_yaml import parse_yaml

    if path.suffix == ".yaml":
        parse_yaml(path.read_text(encoding="utf-8", errors="replace"), str(path))
    elif path.suffix == ".zip":
        with tempfile.TemporaryDirectory() as folder:
            unpack(path, Path(folder) / "out", lambda name: name)
    elif path.name.startswith("whole"):
        json.dumps(read_json(path))
    else:
        questions = open_set("questions", path)
        for split in questions.splits():
            for question in questions.split(split):
                json.dumps(question.to_json(), ensure_ascii=False).encode()


# mutations of sound files


def _rows(dice: random.Random) -> list[dict[str, Any]]:
    return [
        {"question": f"What is {n}?", "answers": [f"A{n}", "é"], "type": dice.choice("xyz"), "subject": f"S{n}"}
        for n in range(dice.choice([1, 3, 30]))
    ]


def _odd_value(dice: random.Random) -> Any:
    texts = [
        "",
        " ",
        "\0",
        "\ud800",
        "[" * 5000,
        "[NaN]",
        "[1e999]",
        "nan",
        '["a"',
        "1" * 5000,
        "\u202e",
        "x" * 200_000,
    ]
    plain = [None, True, 0, -1, 1e308, float("nan"), float("inf"), 2**70, 10**400, [], {}, [[]], [None], {"a": {}}]
    return dice.choice([*texts, *plain])


def _mutate_bytes(data: bytes, dice: random.Random) -> bytes:
    for _ in range(dice.choice([0, 1, 1, 2, 8])):
        low, high = sorted((dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)))
        odd = [b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b'"', b"{", b"]", b",", b"NaN", b"\\ud800"]
        data = dice.choice(
            [
                data[:low] + bytes([dice.randrange(256)]) + data[low + 1 :],
                data[:low],
                data[:low] + data[high:],
                data[:high] + data[low : min(high, low + 3000)] + data[high:],
                data[:low] + dice.choice(odd) + data[low:],
                data[:low] + dice.randbytes(8) + data[low:],
            ]
        )
    return data


def _odd_rows(dice: random.Random) -> list[dict[str, Any]]:
    rows = _rows(dice)
    for _ in range(dice.choice([0, 1, 2])):
        dice.choice(rows)[dice.choice(["question", "answers", "type", "id", "split"])] = _odd_value(dice)
    return rows


def _json_lines(path: Path, dice: random.Random) -> None:
    lines = [json.dumps(row, ensure_ascii=dice.random() < 0.5) for row in _odd_rows(dice)]
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))


def _json_array(path: Path, dice: random.Random) -> None:
    path.write_bytes(json.dumps(_odd_rows(dice)).encode())


def _table(path: Path, dice: random.Random) -> None:
    mark = "\t" if path.suffix == ".tsv" else dice.choice(",;")
    rows = [mark.join(("question", "answers", "type"))]
    for row in _odd_rows(dice):
        cells = (str(row["question"]), json.dumps(row["answers"]), str(row["type"]))
        rows.append(mark.join('"' + cell.replace('"', '""') + '"' for cell in cells))
    path.write_bytes("\n".join(rows).encode("utf-8", "surrogatepass"))


def _parquet(path: Path, dice: random.Random) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(_rows(dice))
    n = table.num_rows
    odd = [
        pyarrow.array([float("nan")] * n),
        pyarrow.array([b"\xff\xfe"] * n, pyarrow.binary()),
        pyarrow.nulls(n),
        pyarrow.array([2**62] * n).cast(pyarrow.timestamp("us")),
        pyarrow.array([[("k", 1)]] * n, pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        pyarrow.array([{"x": ["y"]}] * n),
        pyarrow.array(["z"] * n).dictionary_encode(),
    ]
    if dice.random() < 0.5:
        name = dice.choice(["question", "answers", "type", "id"])
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table.append_column(name, dice.choice(odd))
    compression, version = dice.choice(["none", "snappy", "zstd", "gzip"]), dice.choice(["1.0", "2.0"])
    pyarrow.parquet.write_table(table, path, compression=compression, data_page_version=version)


def _zip(path: Path, dice: random.Random) -> None:
    method = dice.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(path, "w", method) as bundle:
        for name in dice.sample(["a.json", "b/c.json", "d.json", "../e.json", "/f.json"], 2):
            bundle.writestr(name, json.dumps(_rows(dice)))


def _gzip(path: Path, dice: random.Random) -> None:
    path.write_bytes(gzip.compress(json.dumps(_rows(dice)).encode()))


def _yaml(path: Path, dice: random.Random) -> None:
    odd = ["a: &a [*a]", "x: !!int ''", "x: !!bool q", "x: !!timestamp q", "<<: [1]", "? [a]\n: 1", "x: 2024-13-45"]
    odd += [
        "x: " + "[" * 3000,
        "x: " + "1:" * 3000 + "1",
        "x: !!float " + "1_" * 3000,
        'x: "\\ud800"',
        "x: .inf",
        "%Y 9",
    ]
    odd += ["x: !!python/object/apply:os.system [ls]", "\tx: 1", "x: &b {c: 1}\nd: *b", "x: !!binary gA==", "x: !<t> 1"]
    lines = ["name: demo", "seed: 1", "stages:", "- {epochs: 3}", *dice.sample(odd, dice.choice([0, 1, 1, 2]))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


_WRITERS: dict[str, Callable[[Path, random.Random], None]] = {
    "questions.jsonl": _json_lines,
    "questions.json": _json_array,
    "whole.json": _json_array,
    "questions.csv": _table,
    "questions.tsv": _table,
    "questions.parquet": _parquet,
    "data.zip": _zip,
    "questions.gz": _gzip,
    "recipe.yaml": _yaml,
}


def _fuzzed(seed: int, cases: int, folder: Path) -> Iterator[tuple[str, str]]:
    for case in range(cases):
        dice = random.Random(f"{seed}/{case}")
        name = dice.choice(list(_WRITERS))
        path = folder / name
        _WRITERS[name](path, dice)
        path.write_bytes(_mutate_bytes(path.read_bytes(), dice))
        yield f"{case} {name}", read(path)
        path.unlink()


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main(arguments: list[str]) -> None:
    """Read a folder, or mutated files; print what happened."""
    import pyarrow.parquet  # noqa: F401 - its own memory is not the files'

    before = _resident()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2 * MEMORY,) * 2)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        if len(arguments) == 1:
            ends = {path.name: read(path) for path in sorted(Path(arguments[0]).iterdir())}
        else:
            ends = dict(_fuzzed(int(arguments[0]), int(arguments[1]), Path(scratch)))
    counts = Counter(end.partition(":")[0] for end in ends.values())
    wrong = {name: end for name, end in ends.items() if end.partition(":")[0] not in ("read", "refused")}
    known = ends if len(arguments) == 1 else {}
    seconds = time.monotonic() - begin
    print(
        json.dumps({"counts": counts, "wrong": wrong, "ends": known, "peak": _resident() - before, "seconds": seconds})
    )


if __name__ == "__main__":
    main(sys.argv[1:])
