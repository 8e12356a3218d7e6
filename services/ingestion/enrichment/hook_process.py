"""The process a hook runs in: `python -m services.ingestion.enrichment.hook_process module:name`.

Reads length-prefixed JSON objects from its input and answers each; ends with its input.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import os
import struct
import sys
from typing import Any, BinaryIO

LENGTH = struct.Struct("<I")


def main() -> int:
    """Serves one hook."""
    # Whatever the hook prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module_name, _, name = sys.argv[1].partition(":")
    try:
        hook: Any = importlib.import_module(module_name)
        for part in name.split("."):
            hook = getattr(hook, part)
    except Exception as error:  # noqa: BLE001 - told to the parent
        hook, problem = None, f"cannot be loaded: {type(error).__name__}: {error}"
    else:
        problem = "" if callable(hook) else "is not callable"
    while (request := _read(sys.stdin.buffer)) is not None:
        answer = {"error": problem} if problem else _call(hook, request)
        data = json.dumps(answer).encode()
        answers.write(LENGTH.pack(len(data)) + data)
        answers.flush()
    return 0


def _read(stream: BinaryIO) -> Any:
    prefix = stream.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return None
    return json.loads(stream.read(LENGTH.unpack(prefix)[0]))


def _call(hook: Any, request: Any) -> dict[str, Any]:
    try:
        returned = hook(request)
        if returned is None:
            returned = {}
        return {"metadata": {str(name): _plain(value) for name, value in returned.items()}}
    except Exception as error:  # noqa: BLE001 - told to the parent
        # The kind alone: the text of an error may quote the document.
        return {"error": f"raised {type(error).__name__}"}


def _plain(value: Any) -> list[Any]:
    """Returns a value with its type's name, as metadata is stored."""
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return ["TIMESTAMP", int(moment.timestamp() * 1e6)]
    if isinstance(value, dt.date):
        return ["TIMESTAMP", (value - dt.date(1970, 1, 1)).days * 86_400_000_000]
    if isinstance(value, list | tuple | set | frozenset):
        return ["TAGS", sorted(str(each) for each in value)]
    for kind, name in ((bool, "BOOL"), (int, "INTEGER"), (float, "FLOAT"), (str, "KEYWORD")):
        if isinstance(value, kind):
            return [name, value]
    if value is None:
        return ["NULL", None]
    raise TypeError(type(value).__name__)


if __name__ == "__main__":
    sys.exit(main())
