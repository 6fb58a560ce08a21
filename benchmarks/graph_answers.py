"""Questions of people to a knowledge graph of Beijing (CrossWOZ): which are answered whole.

    python benchmarks/graph_answers.py --model runs/chinese

| learned from | the user turns of val, 400 conversations of 500; 100 decide when to stop |
|---|---|
| judged on | the user turns of test (500 conversations) that ask for relations of the graph |
| the graph | crosswoz_database_zh: hotels, restaurants, sights, metro stations |

What is read at test time is the text of the conversation as a person sees it: the question and the
messages before it, never an annotation. An answer is whole if entities, relations and values are
those that the annotators noted, none missing and none too many. Left out of what is judged: turns
that ask for a recommendation (their entity is not named yet), for a taxi (not in the graph), and
those whose entity the annotations leave open. Turns that ask for nothing of the graph are to be
refused.

Beside the learned relations stand rules (the relation's name or a synonym in the words), TF-IDF
with logistic regression on the same turns, and, as the most that finding entities allows, the
relations as annotated. All four look for entities in the same way. Shares in %.

Data is read in place from `--data`. Prints one JSON object last.
"""

import argparse
import json
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import machine, progress, report

import xinye
from xinye.cli.output import Display
from xinye.data.files import write_json_lines
from xinye.evaluation.word_counts import WordCounts
from xinye.jobs.graph_answers import relations_asked, without_names
from xinye.observer import Observer
from xinye.retrieval.graph import Graph
from xinye.retrieval.requests import Conversation
from xinye.tasks.task import Judged

VALIDATION = 100  # conversations of val
ELSEWHERE = ("名称", "车型", "车牌")  # what turns ask for that is not looked up by entity
AROUND = "(周边|附近|周围|旁边|边上|四周).*"
RULES = {
    "地址": "地址|在哪|位置|哪里|怎么走",
    "电话": "电话|联系方式|号码",
    "评分": "评分(?!.{0,3}[0-9])|评价|口碑",
    "门票": "门票|票价",
    "游玩时间": "游玩.{0,3}时|多长时间|多久|玩几",
    "周边景点": f"{AROUND}(景点|好玩|玩的)",
    "周边餐馆": f"{AROUND}(餐馆|餐厅|饭店|吃)",
    "周边酒店": f"{AROUND}(酒店|宾馆|住)",
    "酒店类型": "类型|什么型",
    "价格": "价格(?!.{0,3}[0-9])|房价|多少钱",
    "营业时间": "营业|几点|开门|关门",
    "推荐菜": "推荐菜|特色菜|招牌菜|拿手菜|什么菜|好吃的菜",
    "人均消费": "人均(?!.{0,5}[0-9])|消费(?!.{0,3}[0-9])",
    "地铁": "地铁",
}
Request = tuple[str, str, str]  # entity, relation, and a value that is asked about or ""
Finder = Callable[["Turn"], Sequence[str]]


@dataclass
class Turn:
    """A turn of a user. `requests` are those that were annotated; `kind` is "asked" if they can be
    judged, "none" if there are none, or says why the turn is left out."""

    conversation: int
    reply_before: str
    text: str
    relations: tuple[str, ...]
    requests: frozenset[Request]
    kind: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="the base to fine-tune; none: only what needs no model")
    parser.add_argument("--epochs", type=float, default=6, help="of fine-tuning")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("-o", "--output", type=Path, help="keep the model in this folder")
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers")
    options = parser.parse_args()
    facts = machine("torch", "scikit-learn")
    begin = time.perf_counter()
    graph = Graph.read([options.data / "crosswoz_database_zh"])
    reading = time.perf_counter() - begin
    learned = [*turns(options.data, "val", graph)]
    parts = {
        "training": [turn for turn in learned if turn.conversation >= VALIDATION],
        "validation": [turn for turn in learned if turn.conversation < VALIDATION],
    }
    judged = [*turns(options.data, "test", graph)]
    figures: dict[str, Any] = {}
    finders = without_model(graph, parts["training"], judged)
    if options.model:
        begin, used = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            model = fine_tuned(graph, parts, options.output or Path(folder) / "run", options)
        figures["finetuning_seconds"] = round(time.perf_counter() - begin)
        figures["finetuning_processor_seconds"] = round(time.process_time() - used)
        finders["learned"] = learned_finder(model, graph, judged)
    for name, finder in finders.items():
        figures[name] = measured(graph, judged, finder, options.wrong and name == "learned")
        progress(f"{name}: {json.dumps(figures[name], ensure_ascii=False)}")
    report(
        benchmark="graph_answers",
        triples=graph.count,
        entities=len(graph.entities),
        reading_seconds=round(reading, 2),
        turns={kind: sum(turn.kind == kind for turn in judged) for kind in KINDS_OF_TURNS},
        **figures,
        settings={"model": options.model, "epochs": options.epochs},
        machine=facts,
    )


# -- finding relations -----------------------------------------------------------------------------


def without_model(
    graph: Graph, training: Sequence[Turn], judged: Sequence[Turn]
) -> dict[str, Finder]:
    labels = sorted({relation for turn in training for relation in turn.relations})
    counts = WordCounts.learn(
        [without_names(graph, turn.text) for turn in training],
        [turn.relations for turn in training],
        labels,
        several=True,
    )
    predicted = counts.chosen([without_names(graph, turn.text) for turn in judged])
    by_counts = {id(turn): found for turn, found in zip(judged, predicted, strict=True)}
    return {
        "rules": lambda turn: [name for name, rule in RULES.items() if re.search(rule, turn.text)],
        "tfidf": lambda turn: by_counts[id(turn)],
        "annotated": lambda turn: turn.relations,
    }


def fine_tuned(
    graph: Graph, parts: dict[str, list[Turn]], at: Path, options: argparse.Namespace
) -> xinye.Model:
    at.parent.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, some in parts.items():
        files[name] = at.with_name(f"{at.name}-{name}.jsonl")
        rows = [{"text": without_names(graph, t.text), "label": t.relations} for t in some]
        write_json_lines(files[name], rows)
    with Display() as display:
        return xinye.finetune(
            options.model, at, task="classify", data=files["training"],
            validation=files["validation"], epochs=options.epochs, overwrite=True, observer=display,
        )  # fmt: skip


def learned_finder(model: xinye.Model, graph: Graph, judged: Sequence[Turn]) -> Finder:
    judge = Judged(model.network, model.tokenizer, model.folder, Observer())
    found = relations_asked(judge, graph, [turn.text for turn in judged])
    by_turn = {id(turn): relations for turn, (relations, _) in zip(judged, found, strict=True)}
    return lambda turn: by_turn[id(turn)]


def measured(
    graph: Graph, judged: Sequence[Turn], relations_of: Finder, show: bool
) -> dict[str, float]:
    """Shares in %: of whole answers, of turns whose relations are right, and of turns without a
    request that are refused."""
    right: dict[str, list[bool]] = {"whole": [], "relations": [], "refused": []}
    conversation = Conversation(graph)
    number = None
    for turn in judged:
        if turn.conversation != number:
            conversation = Conversation(graph)
            number = turn.conversation
        conversation.reply(turn.reply_before)
        relations = relations_of(turn)
        requests = conversation.ask(turn.text, relations)
        found = {(each.entity, each.relation, each.value) for each in requests}
        if turn.kind == "none":
            right["refused"].append(not any(each.facts for each in requests))
        if turn.kind != "asked":
            continue
        right["whole"].append(found == turn.requests)
        right["relations"].append(set(relations) == {*turn.relations})
        if show and found != turn.requests:
            progress(f"{turn.text}\n  {sorted(turn.requests)}\n  {sorted(found)}")
    return {name: round(100 * sum(each) / len(each), 1) for name, each in right.items()}


# -- conversations ---------------------------------------------------------------------------------

KINDS_OF_TURNS = ("asked", "none", "recommendation or taxi", "entity unknown")


def turns(data: Path, part: str, graph: Graph) -> Iterator[Turn]:
    """The turns of the users, with what the annotators noted."""
    with zipfile.ZipFile(data / f"crosswoz_zh/{part}.json.zip") as archive:
        (name,) = archive.namelist()
        conversations = json.loads(archive.read(name))
    for number, told in enumerate(conversations.values()):
        messages = told["messages"]
        before: list[Any] = []
        for at in range(0, len(messages) - 1, 2):
            message = messages[at]
            reply_before = messages[at - 1]["content"] if at else ""
            asked = [act[1:3] for act in message["dialog_act"] if act[0] == "Request"]
            mine = [slot for slot in asked if slot[1] not in ELSEWHERE]
            requests = {request_of(slot, message, messages[at + 1], before) for slot in mine}
            kind = "asked" if mine else "none"
            if len(mine) < len(asked):
                kind = "recommendation or taxi"
            elif any(entity not in graph for entity, _, _ in requests):
                kind = "entity unknown"
            relations = tuple(dict.fromkeys(relation_of(slot) for slot in mine))
            yield Turn(
                number, reply_before, message["content"], relations, frozenset(requests), kind
            )
            before = message["user_state"]


def relation_of(slot: Sequence[str]) -> str:
    """The relation of the graph: 酒店设施 of 酒店设施-桑拿, and 地铁 of 出发地附近地铁站."""
    return "地铁" if slot[0] == "地铁" else slot[1].partition("-")[0]


def request_of(slot: Sequence[str], message: Any, reply: Any, before: Sequence[Any]) -> Request:
    """What a turn asks for. The entity is that of the user's goal to which the slot belongs: the
    one that the turn fills in, or else the last one of the domain."""
    domain, name = slot
    if domain == "地铁":
        where = name[:3]  # 出发地 or 目的地
        acts = [act[3] for act in message["dialog_act"] if act[:3] == ["Inform", "地铁", where]]
        return (acts or [reply["sys_state"]["地铁"][where]])[0], "地铁", ""
    told = {tuple(state[:3]) for state in before if state[4]}
    goals = [
        state[0]
        for state in message["user_state"]
        if state[1:3] == [domain, name] and state[4] and tuple(state[:3]) not in told
    ]
    names = [
        (state[0] in goals, state[3])
        for state in message["user_state"]
        if state[1:3] == [domain, "名称"] and state[4] and isinstance(state[3], str) and state[3]
    ]
    entity = max(reversed(names), key=lambda each: each[0], default=(False, ""))[1]
    return entity, relation_of(slot), name.partition("-")[2]


if __name__ == "__main__":
    main()
