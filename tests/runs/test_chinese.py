"""The Chinese of what a run's folder keeps in English."""

from pathlib import Path

import pytest

from xinye.data.files import write_json_lines
from xinye.language import chinese
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.chinese import SETTINGS, error_in_chinese
from xinye.tasks.registry import tasks
from xinye.training.distributed import ALONE
from xinye.training.job import Start
from xinye.training.record_job import RecordJob
from xinye.training.train import pretrain


class Planned(Observer):
    def plan(self, plan, table=()):
        self.chosen = plan


PRETRAINING = [
    {"steps": 9},
    {"time": "20s", "tokenizer": "bytes"},
    {"tokens": "20k", "tokenizer": "char", "architecture": "lstm"},
    {"epochs": 5, "architecture": "gpt2", "optimizer": "adamw"},
    {"steps": 9, "optimizer": "sgd", "micro_batch_size": "auto", "fold": "1/2"},
]
FINETUNING = [
    {"task": "classify", "augment": ("mask", "crop", "shuffle")},
    {"task": "classify", "method": "lora"},
    {"task": "chat"},
    {"task": "chat", "method": "adalora", "optimizer": "sgd"},
    {"task": "classify", "method": "head", "fold": "1/3"},
]


def check(reasons):
    for name, reason in reasons.items():
        assert name in SETTINGS or name == "dropout"
        for clause in reason.split("; "):
            names = any(name in clause for name in ("r.jsonl", "good", "assistant"))
            assert names or chinese(clause) != clause, clause


@pytest.mark.parametrize("asked", PRETRAINING)
def test_every_reason_of_a_pretraining_has_its_chinese(workplace, no_measuring, asked):
    observer = Planned()
    settings = PretrainSettings(files=("zh.txt",), **({"size": "250k"} | asked))
    pretrain(settings, observer, dry_run=True)
    check(observer.chosen.reasons)


@pytest.mark.parametrize("asked", FINETUNING)
def test_every_reason_of_a_finetuning_has_its_chinese(workplace, trained, no_measuring, asked):
    rows = [
        {"text": f"{number}. One. Two.", "label": label, "prompt": f"{number}?", "answer": label}
        for number in range(30)
        for label in ("good", "bad")
    ]
    write_json_lines(Path("r.jsonl"), rows)
    settings = FinetuneSettings(model=str(trained), data=("r.jsonl",), **asked)
    job = RecordJob(settings, Start(ALONE, Path("run"), Observer(), began=0.0))
    job.read()
    check(job.make_plan().reasons)


def test_what_tasks_say_of_themselves_has_its_chinese():
    for task in tasks():
        said = [task.words.does, task.words.limit, task.verb, getattr(task, "baseline_name", "")]
        for sentence in filter(None, said):
            assert task.verb == "text" or chinese(sentence) != sentence, sentence


def test_findings_keep_their_numbers_and_places():
    for english, translated in {
        "the header appears again, and is left out (2 times, first a.csv, line 3, line 9)": (
            "表头重复出现，已略去（共 2 次，最早在 a.csv 第 3、9 行）"
        ),
        "unbalanced: 'good' occurs 90 times, but 'bad' only 9": (
            "不平衡：'good' 出现 90 次，'bad' 只出现 9 次"
        ),
        "1 record with overlapping spans, of which one is learned: first a.json, record 3": (
            "1 条样本的实体有重叠，只采用其中一个：最早的是 a.json 第 3 条"
        ),
        "188 ms a step, and 9 min 25 s to evaluate": "每步 188 毫秒，另有评估 9 分 25 秒",
        "the text is 'nan', which looks like a missing value (reviews (1).csv, line 4)": (
            "文本是 'nan'，像是缺失值（reviews (1).csv 第 4 行）"
        ),
        "3 duplicate records: the first is r.csv, line 103 = line 38": (
            "3 条重复样本：最早的是 r.csv 第 103 行 = 第 38 行"
        ),
        "a.csv: the first line is read as a record, because its cell '5' is a number; add a header": (
            "a.csv：第一行读作样本，因为单元格 '5' 是数字；请加上表头"
        ),
        "columns 2, 3 hold tags: the last is read; --label-field chooses another (t.conll, "
        "line 1)": "第 2, 3 列都是标签：采用最后一列；可用 --label-field 指定另一列（t.conll 第 1 行）",
        "the column is hidden in the workbook, but is read (t.xlsx, column AB)": (
            "有的列在工作簿中是隐藏的，照样读取（t.xlsx AB 列）"
        ),
        "a sentence that nobody knows": "a sentence that nobody knows",
    }.items():
        assert chinese(english) == translated


def test_an_error_is_translated_whole_or_not_at_all():
    error = (
        "run: at step 7 the weights are no longer finite; start again with --overwrite and a lower"
    )
    assert error_in_chinese(error) == ""
    assert error_in_chinese(f"{error} --learning-rate") == (
        "run：第 7 步时权重出现 NaN 或无穷大；请用 --overwrite 和更低的 --learning-rate 重新开始"
    )
