"""What flows through the pipeline: slides, tiles, tables of cells, crops, labels and deltas."""
