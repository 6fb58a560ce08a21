"""What the demos of tasks and applications print of each step."""

from xinye.cli.output import console, verbatim


def show_step(number: int, of: int, what: str, *commands: str) -> None:
    """Print a step with its number and the commands to type for it."""
    console.print(verbatim(f"\n{number}/{of}  {what}", style="bold"), soft_wrap=True)
    for command in commands:
        console.print(f"     {command}", style="green", soft_wrap=True)
    console.print()
