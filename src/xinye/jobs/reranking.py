"""A reranker: a model that was trained to tell whether a passage answers a question."""

from collections.abc import Sequence
from pathlib import Path

from xinye import machine
from xinye.checkpoints.load import load_any
from xinye.errors import XinyeError
from xinye.jobs.judge import context_of, learned_task
from xinye.model.heads import Head
from xinye.retrieval.pairs import IRRELEVANT, RELEVANT
from xinye.retrieval.search import Reranker
from xinye.tasks.classify import Classify

YES = (RELEVANT, "1")  # labels of a passage that answers


def reranker(model: str | Path) -> Reranker:
    """What orders passages by the probability that they answer the question, for
    `KnowledgeBase.search`. `model` was fine-tuned to classify the pairs of `xinye knowledge pairs`,
    or others with the labels 1 and 0. Raises `XinyeError` for another model."""
    network, tokenizer = load_any(model)
    task = learned_task(network, Path(model))
    label = next((label for label in YES if task and label in getattr(task, "labels", ())), None)
    if not isinstance(network, Head) or not isinstance(task, Classify) or label is None:
        raise XinyeError(
            f"{model}: this model is no reranker; fine-tune one with the labels {RELEVANT} and "
            f"{IRRELEVANT}: xinye knowledge pairs KB QUESTIONS -o pairs.jsonl, then xinye finetune "
            "MODEL --task classify --data pairs.jsonl -o RERANKER"
        )
    head, place, context = (
        network.to(machine.device()),
        task.labels.index(label),
        context_of(network),
    )

    def judge(question: str, passages: Sequence[str]) -> list[float]:
        texts = [(question, passage) for passage in passages]
        return [row[place] for row in task.probabilities(head, tokenizer, texts, context)]

    return judge
