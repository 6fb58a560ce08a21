"""The run folder: what stands in it, its checkpoints, report and card."""
