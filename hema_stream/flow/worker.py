"""What a worker process does: answers its parent's questions, one after the other."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from hema_stream.flow.errors import WorkerError
from hema_stream.flow.invoke import Invoker, Outputs, as_failure
from hema_stream.flow.shared import pack, unpack
from hema_stream.flow.stage import Stage


@dataclass
class Drawn:
    """The next outputs of a lazy hook, and whether they were the last."""

    items: list[Any]
    ended: bool


class _Answers:
    """A stage with the lazy hooks that it has begun; the parent knows them by number."""

    def __init__(self, stage: Stage) -> None:
        self._invoker = Invoker(stage)
        self._lazy: dict[int, Outputs] = {}
        self._numbers = count(1)

    def to(self, operation: str, slide: str, args: tuple[Any, ...]) -> Any:
        stage = self._invoker.stage
        if operation == "start":
            return stage.start()
        if operation == "stop":
            return stage.stop()
        if operation == "pull":
            return self._pull(*args)
        if operation == "drop":
            return self._lazy.pop(*args).drop() if args[0] in self._lazy else None
        returned = self._invoker.call(operation, slide, *args)
        if isinstance(returned, Outputs) and returned.rest is not None:
            number = next(self._numbers)
            self._lazy[number] = returned
            return Outputs(returned.items, number)
        return returned

    def _pull(self, number: int) -> Drawn:
        outputs = self._lazy[number]
        try:
            return Drawn(outputs.advance(), outputs.rest is None)
        finally:
            if outputs.rest is None:
                del self._lazy[number]


def serve(pipe: Connection, stage: Stage, prefix: str) -> None:
    """Answer a parent's questions until it hangs up; runs in the worker process."""
    answers = _Answers(stage)
    while True:
        try:
            operation, slide, args = unpack(*pipe.recv())
        except (EOFError, OSError):
            return
        try:
            answer: tuple[bool, Any] = (True, answers.to(operation, slide, args))
        except BaseException as error:
            answer = (False, _portable(as_failure(error)))
        try:
            message = pack(answer, prefix)
        except Exception as error:
            message = pack((False, WorkerError(f"its answer cannot be sent: {error}")), prefix)
        pipe.send(message)


def _portable(error: Exception) -> Exception:
    """Return the error, or what can be said of it where it would not come out whole on the other side."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return WorkerError(f"{type(error).__name__}: {error}")
    return error
