"""Stages by name, over entry points: the product's own and third parties' alike."""

from __future__ import annotations

import difflib
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from hema_stream.flow.errors import PipelineError
from hema_stream.flow.stage import Stage

GROUP = "hema_stream.stages"


class Registry:
    """Every stage that an installed distribution offers under the group ``hema_stream.stages``."""

    def __init__(self, group: str = GROUP) -> None:
        self._group = group

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in sorted(entry_points(group=self._group), key=lambda p: p.name)}

    def names(self) -> list[str]:
        """Names of all stages, without loading one."""
        return list(self._points)

    def distribution(self, name: str) -> str:
        """Name the distribution that offers a stage."""
        point = self._points[name]
        return point.dist.name if point.dist else "unknown"

    def load(self, name: str) -> type[Stage]:
        """Import a stage's class.

        Raises:
            PipelineError: no such stage (names like it are suggested), a plug-in that cannot be imported (its
                distribution is named), or something that is no stage.
        """
        point = self._points.get(name)
        if point is None:
            near = difflib.get_close_matches(name, self._points, n=3)
            advice = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(self._points) or 'none'}"
            raise PipelineError(f"no stage is registered as {name!r}; {advice}")
        try:
            loaded = point.load()
        except Exception as error:
            raise PipelineError(
                f"stage {name!r} of {self.distribution(name)} cannot be imported: {error}; reinstall or remove it"
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Stage)):
            raise PipelineError(f"{point.value} of {self.distribution(name)} is no Stage")
        return loaded
