"""From a topology to what runs: a driver for each stage, a link for each pair of pads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hema_stream.flow.batch_transform import BatchTransformRunner
from hema_stream.flow.batcher import BatchRunner, MicroBatch
from hema_stream.flow.link import Link
from hema_stream.flow.runner import Runner
from hema_stream.flow.source import SourceRunner
from hema_stream.flow.stage import BatchTransform, Source, Stage
from hema_stream.flow.topology import LinkSpec

if TYPE_CHECKING:
    from hema_stream.flow.pipeline import Pipeline


def wire(pipeline: Pipeline) -> tuple[dict[str, Runner], dict[LinkSpec, Link]]:
    """Make the runners, by stage name, and the links between them."""
    stages = pipeline.topology.stages
    runners = {name: _runner(stage, pipeline) for name, stage in stages.items()}
    links: dict[LinkSpec, Link] = {}
    for spec in pipeline.topology.links:
        sink = runners[spec.sink]
        shared = isinstance(stages[spec.source], MicroBatch)
        link = Link(str(spec), spec.max_items, spec.max_bytes, sink.wake, spec.leaky, shared)
        links[spec] = sink.inbound[spec.sink_pad] = link
        runners[spec.source].outlet.links[spec.source_pad] = link
    return runners, links


def _runner(stage: Stage, pipeline: Pipeline) -> Runner:
    if isinstance(stage, Source):
        return SourceRunner(stage, pipeline)
    if isinstance(stage, MicroBatch):
        return BatchRunner(stage, pipeline)
    if isinstance(stage, BatchTransform):
        return BatchTransformRunner(stage, pipeline)
    return Runner(stage, pipeline)
