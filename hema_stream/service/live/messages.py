"""Messages of hema.live.v1: what a client may say, and the maps that it is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgpack
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hema_stream.core.taxonomy import Taxonomy
from hema_stream.service.live.feed import End, Feed

PROTOCOL = "hema.live.v1"
STREAMS = ("rbc", "wbc")
Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Sequence = Annotated[int, Field(ge=0, le=2**53)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Resume(_Said):
    """The first message: what was applied before."""

    type: Literal["resume"]
    run: str = Field(max_length=64)
    seq: Sequence


class Credit(_Said):
    """So many more messages may come."""

    type: Literal["credit"]
    n: int = Field(ge=1, le=1024)


class View(_Said):
    """Outlines or density of a box, please."""

    type: Literal["view"]
    view: int = Field(ge=0, le=2**53)
    box: list[Coordinate] = Field(min_length=4, max_length=4)
    level: int = Field(ge=0, le=24)
    since: Sequence = 0


_SAID: TypeAdapter[Resume | Credit | View] = TypeAdapter(Annotated[Resume | Credit | View, Field(discriminator="type")])


class NotUnderstoodError(ValueError):
    """A frame that is no message of a client."""


def read(frame: bytes) -> Resume | Credit | View:
    """Read a client's frame.

    Raises:
        NotUnderstoodError: says what is wrong with it.
    """
    try:
        return _SAID.validate_python(msgpack.unpackb(frame))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise NotUnderstoodError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, msgpack.UnpackException) as error:
        raise NotUnderstoodError("not one MessagePack map") from error


def write(message: dict[str, Any]) -> bytes:
    """Pack a message."""
    packed: bytes = msgpack.packb(message)
    return packed


def hello(feed: Feed) -> dict[str, Any]:
    """The first message of a connection."""
    return {
        "type": "hello",
        "protocol": PROTOCOL,
        "slide": feed.slide,
        "name": feed.name,
        "run": feed.run,
        "seq": feed.table.seq,
        "status": feed.status,
        "classes": _classes(taxonomies(feed)),
    }


def classes(feed: Feed) -> dict[str, Any]:
    """The classes anew: a site has some of its own."""
    return {"type": "classes", "classes": _classes(taxonomies(feed))}


def taxonomies(feed: Feed) -> tuple[Taxonomy, ...]:
    """Classes of each stream, as far as they are known."""
    return tuple(feed.naming.taxonomy(stream) for stream in STREAMS)


def ending(end: End, seq: int) -> dict[str, Any]:
    """The last message of a connection."""
    return {
        "type": "end",
        "seq": seq,
        "status": end.status,
        "url": end.url,
        "sha256": end.sha256,
        "counts": dict(end.counts),
        "progress": dict(end.progress),
    }


def _classes(told: tuple[Taxonomy, ...]) -> dict[str, list[dict[str, Any]]]:
    return {
        taxonomy.stream: [
            {"name": c.name, "title": c.title, "colour": list(c.colour), "abnormal": c.abnormal}
            for c in taxonomy.classes
        ]
        for taxonomy in told
    }
