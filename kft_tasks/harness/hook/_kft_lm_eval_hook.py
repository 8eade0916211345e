"""Lets lm-eval 0.4.13 find kft's tasks and model without a flag. Turn it off with KFT_LM_EVAL_HOOK=0.

lm-eval 0.4.13 scans only its own folder and --include_path. This module, imported at start-up through
``kft_lm_eval.pth``, waits for ``lm_eval.tasks.manager`` and ``lm_eval.models`` to be imported and then adds kft's task
folder and model. It writes nothing to lm-eval's installation, imports nothing heavy, does nothing if a newer lm-eval
finds plug-ins by entry point, and reports its own failures without raising: kft must never break another package.
"""

import os
import sys


class _Finder:
    """Meta-path finder that lets the other finders do the work, then wraps the loader of two modules."""

    names = ("lm_eval.tasks.manager", "lm_eval.models")

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in self.names:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """Runs the real loader, then :func:`_extend`."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        try:
            _extend(module)
        except Exception as error:
            sys.stderr.write("kft: lm-eval could not be extended (%r); use --include_path instead.\n" % (error,))


def _extend(module):
    if module.__name__ == "lm_eval.models":
        registry = sys.modules.get("lm_eval.api.registry")
        if registry is not None and not hasattr(registry, "load_plugins"):
            registry.model_registry.register("kft-hf", target="kft_tasks.harness.hf_model:KftHF")
    elif not hasattr(module, "discover_plugin_task_paths"):
        _wrap(module.TaskManager)


def _wrap(manager):
    original = manager.__init__

    def __init__(self, *args, **kwargs):
        try:
            args, kwargs = _with_folder(args, kwargs)
        except Exception as error:
            sys.stderr.write("kft: its tasks are not listed (%r); use --include_path instead.\n" % (error,))
        original(self, *args, **kwargs)
        try:
            _report_unparsed(self)
        except Exception:
            return  # lm-eval's index has another form; this check is not worth a failure

    __init__.__wrapped__ = original
    manager.__init__ = __init__


def _report_unparsed(manager):
    """Name YAML files of ours that do not parse: lm-eval would skip them silently."""
    folder = _folder()
    if folder is None or not _among(folder, _as_list(manager.include_path)):
        return  # this manager was told not to look there
    for root, _, files in os.walk(folder):
        for name in files:
            # a file is named after its task; the user may have replaced it by another task of that name
            if name.endswith(".yaml") and not name.startswith("_") and name[: -len(".yaml")] not in manager._index:
                path = os.path.join(root, name)
                sys.stderr.write("kft: %s does not parse, its task is missing. Reinstall kft.\n" % (path,))


def _folder():
    import importlib.util

    spec = importlib.util.find_spec("kft_tasks")
    if spec is None or not spec.submodule_search_locations:
        return None
    return os.path.join(next(iter(spec.submodule_search_locations)), "lm_eval_tasks")


def _as_list(given):
    return [str(path) for path in (given if isinstance(given, (list, tuple)) else [given] if given else [])]


def _among(folder, paths):
    return any(os.path.realpath(path) == os.path.realpath(folder) for path in paths)


def _with_folder(args, kwargs):
    folder = _folder()
    if folder is None or len(args) > 1 or not kwargs.get("include_defaults", True):
        return args, kwargs  # a caller that scans a single folder wants only that folder
    paths = _as_list(kwargs.get("include_path"))
    if _among(folder, paths):
        return args, kwargs
    return args, {**kwargs, "include_path": [folder, *paths]}


if os.environ.get("KFT_LM_EVAL_HOOK", "1") != "0":
    sys.meta_path.insert(0, _Finder())
