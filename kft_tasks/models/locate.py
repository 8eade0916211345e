"""Where a model is: an embedded alias, a local folder, or a hub id."""

from __future__ import annotations

from pathlib import Path

from kft_tasks.errors import UnavailableError
from kft_tasks.files import home_path
from kft_tasks.models.embedded import ALIASES, fetch


def model_folder(name: str, revision: str | None = None) -> Path:
    """The local folder of a model: an alias (fetched if needed), a folder, or a hub id.

    Raises:
        UnavailableError: it is not here and cannot be fetched; the message says what was tried.
    """
    if name in ALIASES:
        return fetch(ALIASES[name])
    folder = home_path(name, "model")
    if (folder / "config.json").is_file():
        return folder.absolute()
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UnavailableError(
            f"{name}: not a model folder (it has no config.json). Give a folder saved by transformers, a hub id, "
            f"or one of the aliases {', '.join(ALIASES)}."
        )
    return _hub_folder(name, revision)


def _hub_folder(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt", "*.jinja"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises many kinds; all mean "not available"
        raise UnavailableError(
            f"Model {name!r} is neither a folder here nor an alias ({', '.join(ALIASES)}), and the model hub did not "
            f"provide it ({type(error).__name__}). Check the name, log in, or give a local folder."
        ) from error
