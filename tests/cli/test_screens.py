"""Screens are in one language: no English sentence on a Chinese screen, and the other way round."""

import re
from pathlib import Path

import pytest

from conftest import TINY
from xinye import machine
from xinye.cli.main import GROUPS, VERBS
from xinye.data.files import write_json_lines
from xinye.demo.stories import stories
from xinye.jobs import doctor

ENGLISH = re.compile(r"[A-Za-z]{2,}[,;:]? [a-z]{2,}")
NAMES = re.compile(
    r"Hugging Face hub|MKL, oneDNN|augment (?:mask|crop|shuffle)|(?:pretrain|finetune) [a-z]+"
)
CHINESE = re.compile(r"[\u3400-\u9fff]+")
# What is no sentence of ours: commands, code, paths, what is quoted.
CODE = re.compile(
    r"(?m)(?:^\s*|\b)(?:xinye|pip|pipeline|model|print|import|from|cp|llama-\w+|ollama)[ .(][^\n，。；：]*"
    r"|`[^`]*`|“[^”]*”|'[^']*'|\"[^\"]*\"|[!-~]*[/_=.|-][!-~]*"
)
RECORDS = [
    {"text": story, "label": label} for label in "好坏" for story in stories(20, "zh", seed=3)
]
CHATS = [{"prompt": "几点关门？", "response": "九点。"}, {"prompt": "", "response": ""}] * 8
COMMANDS = {
    "pretraining": ("pretrain", "zh.txt", *TINY, "--steps", "3", "-o", "new"),
    "plan": ("pretrain", "zh.txt", *TINY, "--steps", "3", "--dry-run"),
    "fine-tuning": ("finetune", "run", "--task", "classify", "--data", "r.jsonl", "--steps", "3", "-o", "new"),
    "check": ("data", "check", "zh.txt"),
    "check of records": ("data", "check", "r.jsonl", "--task", "classify"),
    "check of chats": ("data", "check", "c.jsonl", "--task", "chat"),
    "evaluation": ("evaluate", "run", "zh.txt", "--tokens", "64"),
    "generation": ("generate", "run", "话说", "--max-tokens", "3"),
    "runs": ("runs",),
    "a run": ("runs", "show", "run"),
    "doctor": ("doctor",),
    "no such file": ("pretrain", "nothing.txt"),
    "no such flag": ("pretrain", "zh.txt", "--stepz", "3"),
    "no such verb": ("pretrian",),
    "no such model": ("generate", "nothing", "话说"),
    "a wrong value": ("pretrain", "zh.txt", "--time", "soon"),
    "a bad record": ("finetune", "run", "--task", "chat", "--data", "c.jsonl"),
    "nothing given": ("finetune",),
    "help": ("--help",),
    **{f"help of {verb}": (verb, "--help") for verb in VERBS},
    **{f"help of {one} {two}": (one, two, "--help") for one, group in GROUPS.items() for two in group},
}  # fmt: skip


@pytest.fixture
def place(workplace, trained, no_measuring, monkeypatch):
    """A folder with a run, texts and records in Chinese."""
    write_json_lines(Path("r.jsonl"), RECORDS)
    write_json_lines(Path("c.jsonl"), CHATS)
    monkeypatch.setattr(doctor.Trial, "forward_and_backward", lambda trial, batch: 0.1)
    monkeypatch.setattr(machine, "read_bytes_per_second", lambda where: 1e10)
    return workplace


@pytest.mark.parametrize("name", COMMANDS)
def test_a_chinese_screen_has_no_english_sentence(xinye, place, trained, monkeypatch, name):
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    given = COMMANDS[name]
    words = [trained if word == "run" and "--help" not in given else word for word in given]
    outcome = xinye(*words)
    said = re.sub("^xinye[ a-z]*：", "", outcome.out + outcome.err, flags=re.MULTILINE)
    text = CODE.sub(" … ", said.replace(str(trained), "run"))
    assert CHINESE.search(text)
    assert not ENGLISH.findall(NAMES.sub(" … ", text))


@pytest.mark.parametrize("name", ["plan", "check", "doctor", "help", "no such model"])
def test_an_english_screen_has_no_chinese(xinye, place, trained, monkeypatch, name):
    words = [word.replace("zh.txt", "en.txt") for word in COMMANDS[name]]
    outcome = xinye(*words)
    text = (outcome.out + outcome.err).replace("新叶", "").replace("话说", "")
    assert not CHINESE.search(text)
