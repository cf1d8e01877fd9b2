"""Any course of a scan: whatever is reordered, repeated, lost or cut, each field is taken once and nothing locks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hema_stages.fields.window import Window
from hypothesis import given, settings
from hypothesis import strategies as st
from scanned import Line, Remembered, gridded, pushed
from scanned import field as message

from hema_stream.core.field import Scan
from hema_stream.service.ingest import Push


@dataclass
class Pipeline:
    """Lets fields go as the survey does: held until its window allows, then each when it is its turn."""

    push: Push
    sink: Remembered
    useless: frozenset[int]
    window: Window
    taken: int = 0
    told: int = 0
    held: list[int] = field(default_factory=list)
    measured: bool = False

    def step(self) -> bool:
        """Take one thing that has arrived; whether there was one, or something was let go."""
        if self.taken < len(self.sink.fields):
            index = self.sink.fields[self.taken].index
            self.taken += 1
            if index in self.useless:
                self.window.skip(index)
                self.push.left(index, "background")
            else:
                self.window.add(index)
                self.held.append(index)
        elif self.told < len(self.sink.passed):
            self.window.pass_by(self.sink.passed[self.told].through)
            self.told += 1
        elif self.sink.closed:
            self.window.close()
        self.measured = self.measured or self.window.choose() is not None
        if self.measured and self.held:
            self.push.left(self.held.pop(0), "analysed")
            return True
        return False


@dataclass
class Sender:
    """A scanner that sends a course, resends what did not arrive, and closes."""

    push: Push
    scan: Scan
    todo: list[int]
    line: Line = field(init=False)
    sent: list[int] = field(default_factory=list)
    credit: int = 0
    errors: list[str] = field(default_factory=list)
    ended: bool = False

    def connect(self, arrives: int) -> None:
        """Begin a line; of what was sent last and not acknowledged, ``arrives`` fields were not lost with the old."""
        self.line, self.credit = Line(self.push), 0
        self.listen()

    def listen(self) -> None:
        for said in self.line.heard():
            self.hear(said)

    def hear(self, said: dict[str, Any]) -> None:
        kind = said["type"]
        if kind == "hello":
            known = {index for first, last in said["received"] for index in range(first, last + 1)}
            self.todo = [index for index in self.sent if index not in known] + self.todo
            self.sent = []
        elif kind == "credit":
            self.credit += said["n"]
        elif kind == "ack":
            for index in (*said["accepted"], *said["repeated"]):
                self.sent.remove(index)
        elif kind in ("error", "refused"):
            self.errors.append(said["code"])

    def send(self, delivered: bool) -> bool:
        """Send the next field; ``delivered`` False loses it with the line. Whether there was one and a credit."""
        if not self.todo or not self.credit:
            return False
        index = self.todo.pop(0)
        self.credit -= 1
        self.sent.append(index)
        if delivered:
            self.line.say(**message(index, self.scan))
        return True

    def mark(self) -> None:
        """Say what will not come again."""
        lowest = min((*self.todo, *self.sent), default=len(self.scan.grid or ())) - 1
        self.line.say(type="watermark", index=lowest)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_course_is_taken_once_and_never_locks(data: st.DataObject) -> None:
    fields = data.draw(st.integers(1, 24), "fields")
    fitted = data.draw(st.integers(1, 4), "fitted")
    window = data.draw(st.integers(fitted, fitted + 6), "window")
    scan = gridded(fields, 1, window, fitted)
    lost = data.draw(st.sets(st.integers(0, fields - 1)), "lost")
    left = [index for index in range(fields) if index not in lost]
    useless = frozenset(data.draw(st.sets(st.sampled_from(left)), "useless")) if left else frozenset()
    repeats = data.draw(st.lists(st.sampled_from(left), max_size=6), "repeats") if left else []
    course = data.draw(st.permutations(left + repeats), "course")
    push, sink = pushed(scan)
    pipeline = Pipeline(push, sink, useless, Window(fitted, window))
    sender = Sender(push, scan, list(course))
    sender.connect(0)
    steps = data.draw(st.lists(st.sampled_from(["send", "take", "cut", "lose", "mark"]), max_size=120), "steps")
    # After the steps that were drawn everyone does what they can: if nothing moves before the end, it has locked.
    for step in (*steps, *["send", "take"] * (4 * fields + 40)):
        if step == "send":
            sender.send(delivered=True)
        elif (step == "lose" and sender.send(delivered=False)) or step == "cut":
            sender.connect(0)
        elif step == "take":
            pipeline.step()
        elif step == "mark":
            sender.mark()
        sender.listen()
        session = sender.line.session
        assert len(push.under_way) + session.granted <= window
        assert sender.credit == session.granted
        if not sender.todo and not sender.sent and not sink.closed:
            sender.line.say(type="close", fields=fields)
    assert sender.errors == []
    assert (sender.todo, sender.sent, sink.closed) == ([], [], 1)
    assert sorted(sink.numbers) == left
    assert push.received == set(left)
    assert not push.under_way


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_fields_that_are_fitted_on_do_not_depend_on_the_order_of_arrival(data: st.DataObject) -> None:
    """Within the allowance for reordering, with watermarks that are true."""
    fields, fitted, allowance = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 4)), 6
    lost = data.draw(st.sets(st.integers(0, fields - 1)))
    left = [index for index in range(fields) if index not in lost]
    useless = data.draw(st.sets(st.sampled_from(left))) if left else set()
    late = {index: data.draw(st.floats(0, allowance - 1)) for index in left}
    expected = tuple([index for index in left if index not in useless][:fitted])
    window, choice = Window(fitted, fitted + allowance), None
    course = sorted(left, key=lambda index: (index + late[index], index))
    for number, index in enumerate(course):
        (window.skip if index in useless else window.add)(index)
        window.pass_by(min(course[number + 1 :], default=fields) - 1)
        choice = choice or window.choose()
    window.close()
    choice = choice or window.choose()
    assert choice is not None
    assert (choice.fields, choice.settled) == (expected, True)
