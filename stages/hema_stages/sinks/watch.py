"""Watching a site: a slide beside those that the site has seen, then one of them."""

from __future__ import annotations

from dataclasses import dataclass

from hema_models.site.readings import History, Readings

from hema_stream.clinical.control import alarms, reading_of
from hema_stream.clinical.panel import Panel
from hema_stream.core.reading import Reading
from hema_stream.core.report import SiteAlarm
from hema_stream.core.result import TallyResult


@dataclass(frozen=True)
class Watch:
    """One slide of a site.

    Attributes:
        alarms: by what it is not like the others.
    """

    alarms: list[SiteAlarm]
    _reading: Reading
    _readings: Readings | None

    @classmethod
    def of(cls, result: TallyResult, panel: Panel, remembers: bool) -> Watch | None:
        """Compare a slide; None where no site was used.

        Args:
            remembers: whether the slides before it count. Where they do not, the same image gives the same answer.
        """
        if result.site is None:
            return None
        reading = reading_of(result)
        readings = Readings.of(result.site) if remembers else None
        before = History() if readings is None else readings.read().without(reading.slide)
        return cls(alarms(panel, reading, result.site, before.first, before.latest), reading, readings)

    def keep(self) -> None:
        """Count the slide among the site's; OSError where the disk does not take it."""
        if self._readings is not None:
            self._readings.add(self._reading)
