"""What terminal, report and model card say of a classifier."""

from dataclasses import replace

from xinye.runs.words import LOSS, TaskWords
from xinye.tasks.heads import ACCURACY, CALIBRATION_ERROR, MACRO_F1, USE

WORDS = TaskWords(
    figures=(ACCURACY, MACRO_F1, CALIBRATION_ERROR, LOSS),
    decides="accuracy",
    unit="labels",
    does="Predicts which of {labels} labels a text has.",
    limit="It always answers with one of its labels, even if none fits.",
    pipeline="text-classification",
    use=USE,
    command='xinye classify {folder} "…"',
    python='print(model.classify("…"))',
    transformers='print(pipeline("text-classification", "{folder}")("…"))',
)
WORDS_OF_PAIRS = replace(
    WORDS,
    command='xinye classify {folder} "…" --pair "…"',
    python='print(model.classify(("…", "…")))',
    transformers=(
        'print(pipeline("text-classification", "{folder}")({"text": "…", "text_pair": "…"}))'
    ),
)
