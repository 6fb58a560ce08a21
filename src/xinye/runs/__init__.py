"""The folder of a run: its files and checkpoints, and the report and model card made from them."""
