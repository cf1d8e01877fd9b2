"""The source of watched folders, as the daemon asks for one."""

from __future__ import annotations

from hema_stream.service.daemon.claims import Watch
from hema_stream.service.settings import ServiceLimits
from hema_stream.service.watch import watch

ENDLESS = 1_000_000
"""Times that the source may hand a file out again: how often one is tried is counted with its job."""


def folder_watch(limits: ServiceLimits) -> Watch:
    """The source, with the rules of ``limits.watch``."""
    rules = limits.watch.model_copy(update={"attempts": ENDLESS})
    return lambda folder, may_claim: watch(folder, rules, may_claim=may_claim)
