"""From messages to a text, by a model's chat template. Templates are not trusted: see
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

SECONDS = 5  # for one chat; it takes less than a thousandth of one


class _Worker:
    """The process that fills in templates. It starts when it is first needed, and again after it
    was killed.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.started_by = 0

    def ask(self, request: Mapping[str, object]) -> dict[str, str]:
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
            process.kill()  # it took too long, or died
            process.wait()
            return {"error": f"it takes more than {SECONDS} seconds or too much memory"}

    def _running(self) -> "subprocess.Popen[str]":
        # A fork of this process must have a worker of its own.
        if self.process and self.process.poll() is None and self.started_by == os.getpid():
            return self.process
        self.started_by = os.getpid()
        self.process = subprocess.Popen(
            # -P: the modules beside that file have names of standard ones
            [sys.executable, "-P", str(Path(__file__).with_name("chat_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        assert self.process.stdout
        self.process.stdout.readline()  # it is ready: from now on time counts
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
    """The text of messages, with a `mark` in each place of them where one of the `control` tokens
    could come out.

    `plain` are added tokens that text may hold. Raises `XinyeError` for a template that fails, or
    takes too long.
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
