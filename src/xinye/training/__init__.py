"""The loop, optimizers and schedules; they know no task and no files."""
