"""The page stands alone, speaks both languages, and comes about whatever state a run is in."""

import json
import re
import sys
from dataclasses import asdict
from html.parser import HTMLParser

import pytest

from xinye.libraries import install_command
from xinye.runs.report import count, write_report
from xinye.runs.saved import read_run
from xinye.tasks.registry import find_task

VOID = {"meta", "input", "br", "img", "link", "hr"}
LOSSES = [3 + 4 / (step + 1) for step in range(60)]
VALIDATIONS = [(step, 3.5 + 4 / step) for step in (10, 20, 30, 40, 50, 60)]


class Page(HTMLParser):
    """The tags of a page, each closed in order, and its text by language."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], {"en": "", "zh": "", "": ""}
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class")))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ("style", "title"):
            self.text[next((name for _, name in self.open[::-1] if name in ("en", "zh")), "")] += (
                data.replace("\N{NO-BREAK SPACE}", " ")
            )


def page_of(run):
    write_report(read_run(run))
    html = (run / "report.html").read_text("utf-8")
    return html, Page(html)


@pytest.fixture
def run(make_run):
    machine = {
        "device": "CPU",
        "cores": 2,
        "memory_bytes": 8e9,
        "system": "Linux",
        "torch": "2",
        "python": "3",
    }
    return make_run(
        losses=LOSSES,
        validations=VALIDATIONS,
        about={"data": {"files": 1, "bytes": 4000, "characters": 2000}, "machine": machine},
        plan={"parameters": 1_066_624, "dtype": "float32"},
        result={
            "texts": ["新叶长出来，陈叶落下去。"],
            "time_seconds": {"text": 1.0, "training": 30.0},
            "tokens_per_second": 4000.0,
            "model_flops_utilization": 0.4,
            "matrix_flops_per_second": 2e11,
            "peak_memory_bytes": 500_000_000,
        },
    )


def test_the_page_stands_alone(run):
    html, page = page_of(run)
    assert "://" not in html
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert all(
        value.startswith("#")
        for name, value in page.attributes
        if name in ("href", "xlink:href", "src")
    )
    assert "url(" not in re.sub(r"url\(#\w+\)", "", html)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_the_page_tells_everything(run):
    _, page = page_of(run)
    assert page.tags.count("svg") == 2 and page.tags.count("article") == len(VALIDATIONS)
    for words in (
        "bits per byte",
        "What it writes now",
        "Healthy",
        "validation data",
        "reading and tokenizing",
        "40 %",
        "500 MB",
    ):
        assert words in page.text["en"], words
    for words in (
        "每字节比特数",
        "模型现在写出的文字",
        "训练正常",
        "验证集",
        "读取和分词",
        "40 %",
        "500 MB",
        "107 万个参数",
    ):
        assert words in page.text["zh"], words
    for words in (
        "新叶长出来，陈叶落下去。",
        "xinye pretrain '书/novel.txt'",
        "--steps 60",
    ):
        assert words in page.text[""], words


def test_chinese_and_english_say_the_same_number_of_things(run):
    html, page = page_of(run)
    assert page.text["en"].strip() and not re.search(
        "[一-鿿]", page.text["en"].replace("xinye", "")
    )
    assert html.count('class="en"') == html.count('class="zh"')


@pytest.mark.parametrize(
    "text, language", [("新叶长出来", "zh"), ("New leaves push out the old", "en")]
)
def test_it_opens_in_the_language_of_the_text(make_run, text, language):
    html, _ = page_of(make_run(losses=LOSSES[:5], result={"texts": [text]}))
    assert f'<html lang="{language}">' in html and f'id="{language}" checked' in html


def test_hostile_texts_stay_text(make_run):
    hostile = "</p></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    run = make_run(
        losses=LOSSES,
        validations=VALIDATIONS,
        sample=hostile,
        settings={"files": [f"a/{hostile}.txt"], "prompt": hostile},
        plan={"dtype": hostile, hostile: hostile},
        result={"texts": [hostile]},
        about={"machine": {"device": hostile}, "text": hostile},
    )
    (run / "training" / "process.json").write_text(json.dumps({"error": hostile}), "utf-8")
    _, page = page_of(run)
    assert not {"script", "img"} & set(page.tags)
    assert page.text[""].count("<script>alert(1)</script>") >= 8


def test_without_matplotlib_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert (
        write_report(read_run(run))
        == f"a chart needs matplotlib; to install it: {install_command()}"
    )
    page = Page((run / "report.html").read_text("utf-8"))
    assert "svg" not in page.tags and "画图需要 matplotlib" in page.text["zh"]


@pytest.mark.parametrize("left", ["metrics.jsonl plan.json", "metrics.jsonl", "plan.json", ""])
def test_of_a_killed_run_it_tells_what_is_there(make_run, left):
    run = make_run(losses=LOSSES, validations=VALIDATIONS[:3], finished=False)
    for file in (run / "training").iterdir():
        if file.name not in (*left.split(), "settings.json"):
            file.unlink()
    _, page = page_of(run)
    assert "Nothing had been saved" in page.text["en"]
    assert "从前有一片新叶。30" in page.text[""] or "metrics" not in left


def test_an_interrupted_run_says_how_to_go_on(make_run):
    run = make_run(losses=LOSSES, finished=False)
    (run / "training" / "checkpoints" / "step-00000060").mkdir(parents=True)
    _, page = page_of(run)
    assert (
        f"xinye pretrain -o {run} --resume" in page.text[""] and "停在第 60 步" in page.text["zh"]
    )


def test_a_diverged_run_tells_why(make_run):
    run = make_run(losses=[*LOSSES, float("nan")], finished=False)
    (run / "training" / "process.json").write_text(
        '{"error": "the weights are no longer finite"}', "utf-8"
    )
    _, page = page_of(run)
    assert (
        "the weights are no longer finite" in page.text[""]
        and "Diverged at step 61" in page.text["en"]
    )


def test_pretraining_writes_it(trained):
    page = Page((trained / "report.html").read_text("utf-8"))
    result = json.loads((trained / "training" / "result.json").read_text("utf-8"))
    # only the first run here compiles
    laps = set(result["time_seconds"]) - {"compiling the fast code"}
    assert laps == {"text", "planning", "training", "validation", "samples", "saving"}
    assert len(result["texts"]) == 3 and result["texts"][0].strip().split("\r")[0] in page.text[""]
    assert "Too short to judge" in page.text["en"] and "太短" in page.text["zh"]


@pytest.mark.parametrize(
    "number, en, zh",
    [
        (999, "999", "999"),
        (12_345, "12,345", "1.2 万"),
        (5_212_928, "5.2 million", "521 万"),
        (1.3e9, "1.3 billion", "13 亿"),
    ],
)
def test_counts_in_words(number, en, zh):
    assert count(number) == (en, zh)


FIGURES = {"precision": 0.9, "recall": 0.8, "f1-score": 0.85, "support": 20}
MEASURED = {
    "accuracy": 0.9,
    "macro_f1": 0.85,
    "table": {"好评": FIGURES, "差评": FIGURES},
    "confusion": {"labels": ["好评", "差评"], "counts": [[19, 1], [3, 17]]},
}


def taught(make_run, task, **result):
    """The folder of a run that learned a task; its validations have no bits per byte."""
    settings = {"task": task, "model": "runs/base", "data": ["reviews.csv"]}
    about = {"recipe": "finetune", "settings": settings, "words": asdict(find_task(task).words)}
    result = {"task": task, "findings": [], **result}
    folder = make_run(losses=[0.7] * 60, about=about, result=result)
    with (folder / "training" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        for step, accuracy in ((30, 0.8), (60, 0.9)):
            record = {
                "kind": "validation",
                "step": step,
                "seconds": 1.0,
                "loss": 0.5,
                "sample": "很快 → 好评 (0.98)",
            }
            file.write(
                json.dumps(record | ({"accuracy": accuracy} if task == "classify" else {})) + "\n"
            )
    return folder


def test_the_verdict_stands_before_all_else(run):
    html, _ = page_of(run)
    assert html.index("</h1>") < html.index('<li class="good">') < html.index('class="figures"')


def test_both_charts_go_over_the_steps_and_mark_the_best(make_run):
    judged = [(15, 3.0), (30, 2.0), (45, 2.5), (60, 2.6)]
    html, page = page_of(make_run(losses=LOSSES, validations=judged))
    assert page.text["en"].count("best: step 30") == page.text["zh"].count("最好：第 30 步") == 2
    assert "minutes" not in page.text["en"]
    # their colours are those of the page's legend, and no others
    drawn = set(re.findall(r"stroke: (var[^;\"]+|#[0-9a-f]+)", html))
    assert (
        {"var(--training)", "var(--validation)"}
        <= drawn
        <= {*("var(--training)", "var(--validation)", "var(--beside)", "#808182")}
    )


def judged_at(folder, *rows):
    """Let a run's validations be these: step, accuracy, loss."""
    path = folder / "training" / "metrics.jsonl"
    lines = [line for line in path.read_text("utf-8").splitlines() if '"validation"' not in line]
    for step, accuracy, loss in rows:
        record = {"kind": "validation", "step": step, "accuracy": accuracy, "loss": loss}
        lines.append(json.dumps({**record, "seconds": 1.0}))
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.parametrize(
    "rows, best",
    [
        ([(5, 1.0, 0.9), (30, 1.0, 0.4), (45, 1.0, 0.2), (60, 1.0, 0.3)], 45),
        ([(5, 1.0, 0.2), (30, 1.0, 0.2), (45, 0.9, 0.1)], 30),
        ([(5, 1.0, 0.9), (30, 0.9, 0.1)], 5),
    ],
)
@pytest.mark.parametrize("saved", [None, 30])
def test_of_equal_steps_the_one_with_the_lowest_loss_is_marked(make_run, rows, best, saved):
    result = {} if saved is None else {"stopped_early": True, "model_step": saved}
    folder = taught(make_run, "classify", **result)
    judged_at(folder, *rows)
    _, page = page_of(folder)
    marked = page.text["en"].count(f"best accuracy: step {best}")
    assert marked == page.text["zh"].count(f"准确率最好：第 {best} 步") == 2
    assert f"marks step {best}, where the accuracy" in page.text["en"]
    assert f"验证准确率最好的第 {best} 步" in page.text["zh"]
    if saved is None:
        assert "保存的模型是第 60 步（最后一步）的权重" in page.text["zh"]
    else:
        assert "weights of step 30; later steps are not included" in page.text["en"]


def test_of_an_interrupted_run_the_newest_checkpoint_is_what_is_saved(make_run):
    result = {"interrupted": True, "model_step": 20}  # of an interruption before
    run = make_run(losses=LOSSES, validations=VALIDATIONS[:3], result=result)
    (run / "training" / "checkpoints" / "step-00000040").mkdir(parents=True)
    _, page = page_of(run)
    assert "保存的模型是第 40 步的权重，不含之后的步骤" in page.text["zh"]


YARDSTICK = {
    "gzip": 3.3021,
    "five_gram": 1.25,
    "compressed_bytes": 262_797,
    "counted_tokens": 500_000,
    "predicted_tokens": 71_394,
}


def test_a_yardstick_stands_beside_bits_per_byte(make_run):
    about = {"data": {"yardstick": YARDSTICK}}
    _, page = page_of(make_run(losses=LOSSES, validations=[(30, 3.0), (60, 2.0)], about=about))
    assert "better than n-gram counts do: 1.000 bits per byte; gzip needs 3.302" in page.text["en"]
    assert "500,000 of the training tokens" in page.text["en"]
    assert "5-gram 模型统计了 500,000 个训练 token" in page.text["zh"]


def test_numbers_stay_beside_their_units(run):
    html, _ = page_of(run)
    page = re.sub(r"(?s)<svg.*?</svg>", "", html[html.index("<main>") :])
    text = re.sub(r"<[^>]+>", "", page)
    commands = re.sub(r"xinye .*", "", text)
    assert not re.search(r"\d (?:%|MB|GB|s\b|min\b|million|万|秒|步)", commands)


def test_in_the_chinese_view_nothing_is_english(make_run):
    baseline = {"name": "TF-IDF + linear SVM + naive Bayes", "accuracy": 0.95}
    repeated = "3 duplicate records: the first is a, line 4 = line 2"
    found = [repeated, "the header appears again, and is left out (a, line 3)"]
    folder = taught(make_run, "classify", measured=MEASURED, baseline=baseline, findings=found)
    html, page = page_of(folder)
    page_without_names = Page(re.sub("<code>.*?</code>", "", html))
    names = r"TF-IDF|F1|token|GPT|epoch|xinye|Python|PyTorch|[kMG]B"
    english = re.findall(r"[A-Za-z]{4,}", re.sub(names, "", page_without_names.text["zh"]))
    assert set(english) <= {"test", "wants", "base"}, english  # reasons of `make_run`, a name
    assert "不如基线：准确率 90.0%，TF-IDF + 线性 SVM + 朴素贝叶斯 95.0%" in page.text["zh"]
    assert "表头重复出现，已略去（a 第 3 行）" in page.text["zh"]


@pytest.mark.parametrize("baseline", [None, {"name": "a dictionary", "span_f1": 0.0}])
def test_a_tagger_that_finds_nothing_has_learned_nothing(make_run, baseline):
    measured = {"accuracy": 0.9, "span_f1": 0.0, "table": {}}
    folder = taught(make_run, "tag", measured=measured, baseline=baseline)
    _, page = page_of(folder)
    assert "The model has learned nothing: it finds no correct span" in page.text["en"]
    assert "模型什么也没学到：没有找对任何实体" in page.text["zh"]


def test_a_classifier(make_run):
    baseline = {"name": "TF-IDF", "accuracy": 0.8, "macro_f1": 0.8, "table": {"好评": FIGURES}}
    folder = taught(make_run, "classify", measured=MEASURED, baseline=baseline)
    write_report(read_run(folder))
    page = (folder / "report.html").read_text("utf-8")
    assert f"xinye classify {folder}" in page and "xinye generate" not in page
    assert "90.0 %" in page and "80.0 %" in page and "temperature" not in page
    assert "<td>0.900</td><td>0.800</td><td>0.850</td><td>20</td><td>0.850</td>" in page
    assert '<td>好评</td><td class="right">19</td><td>1</td>' in page
    assert page.count("<svg") == 2 and '<span class="en" lang="en">baseline</span>' in page


def test_of_a_mix_the_figures_are_its_own_and_the_curves_the_networks(make_run):
    mixes = [{"name": "the GPT alone", "accuracy": 0.7}]
    measured = MEASURED | {"loss": 0.321}
    folder = taught(make_run, "classify", measured=measured, mixes=mixes)
    write_report(read_run(folder))
    page = (folder / "report.html").read_text("utf-8")
    assert "<dd>0.321</dd>" in page and "The curves are of the GPT in training" in page
    result = folder / "training/result.json"
    result.write_text(result.read_text("utf-8").replace('"the GPT alone"', "null"), "utf-8")
    assert read_run(folder).state == "damaged" and "name" in read_run(folder).error
    write_report(read_run(folder))


def test_a_text_where_a_figure_belongs_is_damage(make_run):
    folder = taught(make_run, "classify", measured=MEASURED | {"accuracy": "0.9"})
    assert "accuracy: expected a number, found '0.9'" in read_run(folder).error
    write_report(read_run(folder))


def test_many_labels_show_their_worst_confusions(make_run):
    labels = [f"label {number}" for number in range(13)]
    counts = [[9 * (row == column) for column in range(13)] for row in range(13)]
    counts[3][5], counts[4][2] = 7, 2
    measured = MEASURED | {"confusion": {"labels": labels, "counts": counts}}
    folder = taught(
        make_run, "classify", measured=measured, baseline={"name": "TF-IDF", "accuracy": 0.8}
    )
    write_report(read_run(folder))
    page = (folder / "report.html").read_text("utf-8")
    assert "<td>label 3</td><td>label 5</td><td>7</td>" in page and "<th>label 1</th>" not in page


def test_a_model_that_chats_ends_with_its_verb(make_run):
    measured = {"loss": 0.1, "ended": 1.0, "exact": 0.94, "answer_tokens": 9.0}
    folder = taught(
        make_run, "chat", measured=measured, baseline={"name": "the base model", "loss": 4.0}
    )
    write_report(read_run(folder))
    page = (folder / "report.html").read_text("utf-8")
    assert f"xinye chat {folder}" in page and "94 %" in page
