"""The demo: generated stories, exercises for tasks, and the steps to train on them."""
