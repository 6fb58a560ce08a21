"""Training: the loop, optimizers, schedules, and the jobs that pretrain and fine-tune."""
