"""Messages of hema.ingest.v1: what a scanner may say, and the maps that it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgpack
import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

PROTOCOL = "hema.ingest.v1"
Index = Annotated[int, Field(ge=0, le=2**31 - 1)]
Um = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Message = dict[str, Any]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FieldSaid(_Said):
    """A field; costs one credit."""

    type: Literal["field"]
    index: Index
    x: Um
    y: Um
    focus: Um | None = None
    encoding: Literal["jpeg", "raw"]
    crc32: int = Field(ge=0, le=2**32 - 1)
    data: bytes


class WatermarkSaid(_Said):
    """Nothing at or under ``index`` comes again; nothing lies in ``sealed`` any more."""

    type: Literal["watermark"]
    index: int = Field(ge=-1, le=2**31 - 1)
    sealed: list[Um] | None = Field(None, min_length=4, max_length=4)


class CloseSaid(_Said):
    """The scan is over; ``fields`` were taken, numbered from 0."""

    type: Literal["close"]
    fields: int = Field(ge=0, le=2**31 - 1)


class AbortSaid(_Said):
    """The scan is given up."""

    type: Literal["abort"]
    reason: str = Field("", max_length=200)


Said = FieldSaid | WatermarkSaid | CloseSaid | AbortSaid
_SAID: TypeAdapter[Said] = TypeAdapter(Annotated[Said, Field(discriminator="type")])


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    """Everything that any message may hold: what else a frame holds is met before it is built, however much it is."""

    type: str
    index: int = 0
    x: float = 0.0
    y: float = 0.0
    focus: float | None = None
    encoding: str = ""
    crc32: int = 0
    data: bytes = b""
    sealed: Annotated[list[float], msgspec.Meta(max_length=4)] | None = None
    fields: int = 0
    reason: str = ""


_SHAPE = msgspec.msgpack.Decoder(_Shape)


class NotUnderstoodError(ValueError):
    """A frame that is no message of a scanner."""


def read(frame: bytes) -> Said:
    """Read a scanner's frame.

    Raises:
        NotUnderstoodError: says what is wrong with it.
    """
    try:
        _SHAPE.decode(frame)
        return _SAID.validate_python(msgpack.unpackb(frame))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise NotUnderstoodError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError, msgpack.UnpackException, msgspec.MsgspecError) as error:
        raise NotUnderstoodError("not one MessagePack map") from error


def write(message: Message) -> bytes:
    """Pack a message."""
    packed: bytes = msgpack.packb(message)
    return packed


def ranges(indices: Iterable[int]) -> list[list[int]]:
    """Numbers as ascending [first, last] ranges."""
    found: list[list[int]] = []
    for index in sorted(indices):
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found
