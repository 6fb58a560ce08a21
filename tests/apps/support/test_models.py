"""The models of a desk: what each role makes the bot do. Their weights are random or zero; what
counts is what is made of their results."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from apps.support.test_replies import SHOPS, turns
from xinye.apps.models_file import Role, model_hash, write_models
from xinye.apps.support.desk_folder import DeskFolder
from xinye.apps.support.desk_settings import ROLES
from xinye.apps.support.log import ANGRY
from xinye.apps.support.prepare import prepare
from xinye.apps.support.prepare_settings import PrepareSettings
from xinye.apps.support.replies import Answerer
from xinye.checkpoints.huggingface import save_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import POINTERS, Head, HeadConfig
from xinye.tasks.answer import Answer
from xinye.tasks.classify import Classify
from xinye.tasks.tag import Tag

TOKENIZER = Tokenizer.train([SHOPS + "顾客很生气，住在湖滨路。"], kind="char")
SHAPE = GPTConfig("modern", TOKENIZER.vocab_size, 32, 1, 2, 2, 16, 64, 512)
TASKS = {"sequence": Classify, "token": Tag, "span": Answer}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a desk that has documents."""
    root = tmp_path_factory.mktemp("models")
    (root / "shops.md").write_text(SHOPS, "utf-8")
    (root / "faq.csv").write_text("question,answer\n几点开门？,八点开门，周末也一样。\n", "utf-8")
    settings = {"logs": [str(root / "faq.csv")], "output": root / "desk", "time": "0s"}
    prepare(PrepareSettings(**settings, knowledge=[str(root / "shops.md")], precision=0.7))
    return root


def model(folder: Path, kind: str, labels: Sequence[str]) -> Path:
    """A model with a head that always finds its first label."""
    gpt = GPT(SHAPE)
    gpt.initialize(1)
    head = Head.over(gpt, HeadConfig(SHAPE, kind, tuple(labels)))
    head.score.weight.data.zero_()
    if head.score.bias is not None:
        head.score.bias.data.zero_()
    save_model(folder, head, TASKS[kind].tokenizer(TOKENIZER))
    return folder


@pytest.fixture
def bot_with(made: Path, tmp_path: Path) -> Callable[..., Answerer]:
    def bot(**roles: Path) -> Answerer:
        shutil.copytree(made / "desk", tmp_path / "desk")
        models = {
            name: Role(path=str(path), sha256=model_hash(path)) for name, path in roles.items()
        }
        write_models(tmp_path / "desk" / "models.toml", models, ROLES)
        return Answerer.read(tmp_path / "desk")

    return bot


def test_an_angry_customer_gets_a_person(bot_with: Callable[..., Answerer], tmp_path: Path) -> None:
    bot = bot_with(mood=model(tmp_path / "mood", "sequence", ("愤怒", "平静")))
    found = bot.answer(turns("你们怎么回事"))
    assert (found.kind, found.why) == ("handover", f"{ANGRY}: 愤怒")
    assert found.model == bot.models.hashes["mood"]


def test_a_calm_customer_does_not(bot_with: Callable[..., Answerer], tmp_path: Path) -> None:
    bot = bot_with(mood=model(tmp_path / "mood", "sequence", ("平静", "愤怒")))
    assert bot.answer(turns("几点开门？")).kind == "faq"


def test_a_mood_without_anger_is_refused(bot_with: Callable[..., Answerer], tmp_path: Path) -> None:
    with pytest.raises(XinyeError, match=r"\[mood\]: its labels are 好, 坏; say in desk.toml"):
        bot_with(mood=model(tmp_path / "mood", "sequence", ("好", "坏")))


def test_a_model_of_another_task_is_refused(
    bot_with: Callable[..., Answerer], tmp_path: Path
) -> None:
    with pytest.raises(XinyeError, match=r"\[answer\]: this model was made to classify"):
        bot_with(answer=model(tmp_path / "mood", "sequence", ("好", "坏")))


def test_what_a_reader_does_not_find_is_not_said(
    bot_with: Callable[..., Answerer], tmp_path: Path
) -> None:
    question = turns("灯市口分店的钥匙谁保管？")
    assert bot_with().answer(question).kind == "passage"
    shutil.rmtree(tmp_path / "desk")
    bot = bot_with(answer=model(tmp_path / "reader", "span", POINTERS))
    assert bot.answer(question).kind in ("passage", "unsure")


def test_a_chat_model_that_writes_nonsense_is_not_shown(
    bot_with: Callable[..., Answerer], tmp_path: Path
) -> None:
    gpt = GPT(SHAPE)
    gpt.initialize(1)
    save_model(tmp_path / "chat", gpt, TOKENIZER)
    found = bot_with(chat=tmp_path / "chat").answer(turns("灯市口分店的钥匙谁保管？"))
    assert found.kind == "passage" and found.text.endswith(
        "\n灯市口分店的冷藏库在地下5楼，钥匙由店长保管。"
    )


@pytest.mark.parametrize(("threshold", "kind"), [(0.4, "template"), (0.6, "unsure")])
def test_an_intent_that_is_sure_enough_gets_its_template(
    made: Path, tmp_path: Path, threshold: float, kind: str
) -> None:
    intents = model(tmp_path / "intents", "sequence", ("停车", "开门"))  # each has one half
    shutil.copytree(made / "desk", tmp_path / "desk")
    role = {"intents": Role(path=str(intents), sha256=model_hash(intents))}
    write_models(tmp_path / "desk" / "models.toml", role, ROLES)
    with (tmp_path / "desk" / "templates.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"intent": "停车", "text": "门口可以停车。", "language": "zh"}\n')
    path = tmp_path / "desk" / "calibration.json"
    saved = json.loads(path.read_text("utf-8"))
    saved["intents"] = [
        {"precision": 0.7, "confidence": threshold, "answered": 1.0, "score": None, "by_score": 0.0}
    ]
    path.write_text(json.dumps(saved), "utf-8")
    assert Answerer.read(tmp_path / "desk").answer(turns("我开车来放哪里")).kind == kind


def test_names_are_masked_by_the_tagger(bot_with: Callable[..., Answerer], tmp_path: Path) -> None:
    tags = ("B-人名", "I-人名", "O")
    bot = bot_with(entities=model(tmp_path / "names", "token", tags))
    tagger = bot.models.tagger
    assert tagger
    assert {found.kind for found in tagger("店长保管")} == {"name"}


def test_roles_are_named_when_a_desk_is_made(made: Path, tmp_path: Path) -> None:
    mood = model(tmp_path / "mood", "sequence", ("愤怒", "平静"))
    relations = model(tmp_path / "relations", "sequence", ("电话", "地址"))
    (tmp_path / "graph.tsv").write_text("灯市口分店\t电话\t555-0134\n", "utf-8")
    settings = {"logs": [str(made / "faq.csv")], "output": tmp_path / "desk", "time": "0s"}
    roles = [f"mood={mood}", f"relations={relations}"]
    prepare(PrepareSettings(**settings, role=roles, graph=str(tmp_path / "graph.tsv")))
    bot = Answerer.read(tmp_path / "desk")
    assert bot.models.loaded.keys() == {"mood", "relations"}
    assert bot.answer(turns("灯市口分店的电话？")).kind == "handover"
    bot.models.loaded.pop("mood")
    found = bot.answer(turns("灯市口分店的电话？"))
    assert (found.kind, found.text) == ("graph", "灯市口分店的电话是555-0134。")
    assert [(each.file, each.line) for each in found.sources] == [("graph.tsv", 1)]
    assert DeskFolder.read(tmp_path / "desk").settings.graph == "graph.tsv"


@pytest.mark.parametrize(
    ("role", "problem"),
    [
        ("mod=runs/mood", "--role mod=runs/mood: write ROLE=RUN.*did you mean 'mood'"),
        ("mood", "--role mood: write ROLE=RUN"),
        ("mood=nowhere", "nowhere: there is no such folder"),
    ],
)
def test_a_role_that_cannot_be(made: Path, tmp_path: Path, role: str, problem: str) -> None:
    settings = {"logs": [str(made / "faq.csv")], "output": tmp_path / "desk"}
    with pytest.raises(XinyeError, match=problem):
        prepare(PrepareSettings(**settings, role=[role]))
    assert not (tmp_path / "desk").exists()
