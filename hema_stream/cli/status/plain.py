"""The status as plain lines, for what is no terminal."""

from __future__ import annotations

from collections.abc import Iterator

from hema_stream.cli.status.fetch import Standing
from hema_stream.cli.status.words import counted, lasting, reason, room, tiles


def lines(standing: Standing) -> Iterator[str]:
    """Everything that the page shows."""
    status = standing.status
    ready = "ready" if status["ready"] else "NOT READY"
    yield f"hema-stream {status['version']} at {standing.url}: {ready}, up {lasting(status['uptime'])}"
    jobs = ", ".join(f"{count:,} {name}" for name, count in sorted(status["jobs"].items()))
    yield f"slides: {jobs or 'none yet'}; {status['clients']} followed live"
    disk = status["disk"]
    low = f"; LOW: nothing new is begun until {room(disk['enough'])} are free" if disk["low"] else ""
    yield f"disk: {room(disk['free'])} of {room(disk['total'])} free{low}"
    for folder in status["folders"]:
        why = f" ({folder['why']})" if folder["why"] else ""
        figures = f"{folder['claimed']:,} claimed, {folder['done']:,} done, {folder['failed']:,} failed"
        yield f"folder {folder['path']}: {folder['state']}{why}; {figures}"
    for slide in status["running"]:
        ended, planned = tiles(slide)
        yield f"running {slide['name']} ({slide['id']}): {ended:,}/{planned:,} tiles  {counted(slide)}".rstrip()
    for slide in standing.ended:
        yield f"{slide['status']} {slide['name']} ({slide['id']}): {reason(slide) or counted(slide)}"
