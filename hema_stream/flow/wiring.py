"""From a topology to what runs: a driver for each stage, a link for each pair of pads."""

from __future__ import annotations

from hema_stream.flow.batch_transform import BatchTransformRunner
from hema_stream.flow.batcher import BatchRunner, MicroBatch
from hema_stream.flow.link import Link
from hema_stream.flow.run import Run
from hema_stream.flow.runner import Runner
from hema_stream.flow.source import SourceRunner
from hema_stream.flow.stage import BatchTransform, Source, Stage


def wire(run: Run) -> dict[str, Runner]:
    """Make the runners, by stage name, and the links between them."""
    stages = run.topology.stages
    runners = {name: _runner(stage, run) for name, stage in stages.items()}
    for spec in run.topology.links:
        sink = runners[spec.sink]
        shared = isinstance(stages[spec.source], MicroBatch)
        link = Link(str(spec), spec.max_items, spec.max_bytes, sink.wake, spec.leaky, shared)
        run.links[spec] = sink.inbound[spec.sink_pad] = link
        runners[spec.source].outlet.links[spec.source_pad] = link
    return runners


def _runner(stage: Stage, run: Run) -> Runner:
    if isinstance(stage, Source):
        return SourceRunner(stage, run)
    if isinstance(stage, MicroBatch):
        return BatchRunner(stage, run)
    if isinstance(stage, BatchTransform):
        return BatchTransformRunner(stage, run)
    return Runner(stage, run)
