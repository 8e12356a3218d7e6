"""Answers as server-sent events."""

from __future__ import annotations

import json
from typing import Any

from cairn_client.errors import error_of
from cairn_client.types import Answer, AnswerDelta, AnswerEvent, PassagesFound, read


class EventReader:
    """Makes events of the lines of a stream."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def take(self, line: str) -> AnswerEvent | None:
        """Takes one line without its end; returns the event that it completes.

        Raises:
            ApiError: the stream says that it failed.
        """
        if line:
            name, _, value = line.partition(":")
            if name == "event":
                self._name = value.strip()
            elif name == "data":
                self._data.append(value.removeprefix(" "))
            return None
        event_name, data = self._name, "\n".join(self._data)
        self._name, self._data = "", []
        return _event(event_name, json.loads(data)) if data else None


def _event(name: str, value: Any) -> AnswerEvent | None:
    match name:
        case "passages":
            return read(PassagesFound, value)
        case "delta":
            return read(AnswerDelta, value)
        case "response":
            return read(Answer, value)
        case "error":
            raise error_of(int(value.get("status", 500)), value)
        case _:  # of a newer gateway
            return None
