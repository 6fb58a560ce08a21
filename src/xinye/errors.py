"""The one error a person can cause: it says what is wrong, where, and what to do."""


class XinyeError(Exception):
    """Wrong input or a state that work cannot go on from; its text is one clear line.

    `exit_code` is what the command line ends with: 2 for wrong use, 1 for work that failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
