"""From a topology to what runs: a driver for each stage, a link for each pair of pads."""

from __future__ import annotations

from hema_stream.flow.batcher import MicroBatch
from hema_stream.flow.batching import BatchRunner
from hema_stream.flow.link import Link
from hema_stream.flow.run import Run
from hema_stream.flow.runner import Runner
from hema_stream.flow.source import SourceRunner
from hema_stream.flow.stage import BatchTransform, Source, Stage


def wire(run: Run) -> dict[str, Runner]:
    """Make the drivers, by stage name, and the links between them."""
    runners = {name: _runner(stage, run) for name, stage in run.topology.stages.items()}
    for spec in run.topology.links:
        sink = runners[spec.sink]
        link = Link(str(spec), spec.max_items, spec.max_bytes, sink.wake, sink.usage)
        run.links[spec] = sink.inbound[spec.sink_pad] = link
        runners[spec.source].outlet.links[spec.source_pad] = link
    return runners


def _runner(stage: Stage, run: Run) -> Runner:
    if isinstance(stage, Source):
        return SourceRunner(stage, run)
    if isinstance(stage, BatchTransform):
        return BatchRunner(stage, run, _batch_before(stage, run))
    return Runner(stage, run)


def _batch_before(stage: Stage, run: Run) -> MicroBatch | None:
    before = (run.topology.stages[spec.source] for spec in run.topology.links if spec.sink == stage.name)
    return next((one for one in before if isinstance(one, MicroBatch)), None)
