"""Turns messages into a text with a model's chat template. Templates are not trusted: see
`chat_worker.py`.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xinye.errors import XinyeError

SECONDS = 5  # for one chat, which normally takes less than a millisecond


class _Worker:
    """The process that fills in templates. It starts when it is first needed, and again if it was
    killed.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.started_by = 0

    def ask(self, request: Mapping[str, object]) -> dict[str, str]:
        """The worker's answer: {"text": …} or {"error": …}."""
        with self.lock:
            process = self._running()
            assert process.stdin and process.stdout
            limit = threading.Timer(SECONDS, process.kill)
            limit.start()
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = ""
            finally:
                limit.cancel()
            if line.endswith("\n"):
                return json.loads(line)
            process.kill()  # it took too long or ended by itself
            process.wait()
            return {"error": f"it takes more than {SECONDS} seconds or too much memory"}

    def _running(self) -> "subprocess.Popen[str]":
        # A forked process must start its own worker.
        if self.process and self.process.poll() is None and self.started_by == os.getpid():
            return self.process
        self.started_by = os.getpid()
        self.process = subprocess.Popen(
            # Without -P, Python would find modules next to that file in place of standard ones.
            [sys.executable, "-P", str(Path(__file__).with_name("chat_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        assert self.process.stdout
        # The worker is ready, so the time limit can start with the first chat.
        self.process.stdout.readline()
        return self.process


_worker = _Worker()


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    variables: Mapping[str, Any],
    control: Sequence[str],
    plain: Sequence[str],
    mark: str,
) -> str:
    """The text that a chat template makes of messages.

    Behind each place in the messages where one of the `control` tokens could begin, the text has a
    `mark`. `plain` are added tokens that may occur in text. `variables` are passed to the template.
    Raises `XinyeError` if the template fails or takes longer than `SECONDS`.
    """
    answer = _worker.ask(
        {
            "template": template,
            "messages": [dict(message) for message in messages],
            "variables": dict(variables),
            "control": control,
            "plain": plain,
            "mark": mark,
        }
    )
    if "error" in answer:
        raise XinyeError(f"the model's chat template fails: {answer['error']}")
    return answer["text"]
