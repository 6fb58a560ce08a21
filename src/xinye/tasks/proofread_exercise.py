"""What the demo of proofreading teaches: reviews and notes of the tea shop, with errors made by
rule."""

from xinye.data.records import Row
from xinye.runs.words import Both
from xinye.tasks.exercise import Exercise
from xinye.tasks.exercises import notes, reviews
from xinye.tasks.proofread_errors import ErrorMaker
from xinye.tasks.proofread_results import corrections


def proofs(count: int, language: str, seed: int = 0) -> list[Row]:
    """Texts of the shop: `wrong`, of which half have errors, and `right`."""
    maker = ErrorMaker()
    half = count // 2
    texts = [*reviews(half, language, seed), *notes(count - half, language, seed)]
    mixed = [text for pair in zip(texts[:half], texts[half:], strict=False) for text in pair]
    return [{"wrong": maker.judged(row["text"]), "right": row["text"]} for row in mixed]


EXERCISE = Exercise(
    make=proofs,
    begin=Both(
        "A GPT will learn to correct the texts of a tea shop.",
        "训练一个 GPT，让它校对茶铺的评论和便条。",
    ),
    baseline=Both("a trigram model with confusion sets", "一个基线（三元语言模型加混淆集）"),
    line=lambda row: corrections(row["wrong"], row["right"]),
    text=lambda row: row["right"],
    given=lambda row: row["wrong"],
    answered=lambda row, result: ({**row, "right": result["corrected"]}, ""),
    new=3,
    training=1500,
    base_epochs=4,
    epochs=2,
    tokenizers={"zh": "char"},  # so each character can be replaced alone
)
