"""Suggestions for words that are mistyped or that another tool uses."""

import difflib
from collections.abc import Iterable

# The names that other tools use for a setting, and the names that Xinye uses for it. If several
# names of Xinye exist in the command, all of them are suggested.
_NAMES = {
    "adam optim": "optimizer",
    "alpha": "lora-alpha",
    "base-model checkpoint model model-name model-name-or-path model-path pretrained": "from model",
    "batch bs per-device-train-batch-size train-batch-size": "batch-size",
    "bf16 fp16 fp32 half precision torch-dtype": "dtype",
    "block-size context-length context-size ctx ctx-size cutoff-len max-context max-len "
    "max-length max-seq-len max-seq-length n-ctx seq-len sequence-length": "context max-tokens",
    "budget duration hours max-time minutes": "time epochs steps",
    "columns column text-column text-key": "text-field field",
    "corpus dataset datasets file files input input-file train-data train-file": "data files",
    "cv k-fold kfold": "folds",
    "d-model dim embedding-size hidden-size n-embd": "width",
    "depth n-layer n-layers num-hidden-layers num-layers": "layers",
    "devices gpus n-gpu nproc nproc-per-node num-gpus num-processes world-size": "processes",
    "dev dev-file eval-data eval-dataset eval-file test test-data test-file val val-data "
    "val-file": "validation",
    "early-stopping early-stopping-patience": "patience",
    "epoch max-epochs n-epochs num-epochs num-train-epochs": "epochs time",
    "epochs": "steps time",
    "eval-every eval-interval eval-steps": "evaluations",
    "f force overwrite-output-dir": "overwrite",
    "finetuning-type lora peft peft-method peft-type qlora use-lora": "method",
    "grad-clip gradient-clipping max-grad-norm": "clip",
    "gradient-accumulation gradient-accumulation-steps": "batch-size micro-batch-size",
    "instruction-field prompt-column question-field": "prompt-field",
    "iterations iters max-iters max-steps n-steps num-steps": "steps time",
    "label-column label-key target-column": "label-field",
    "log-to logger report-to tensorboard wandb": "track",
    "lora-r lora-rank rank": "r",
    "lora-target lora-target-modules": "target-modules",
    "lr": "learning-rate",
    "lr-scheduler lr-scheduler-type scheduler": "schedule",
    "max-completion-tokens max-new-tokens n-predict num-predict": "max-tokens",
    "n-head n-heads num-attention-heads num-heads": "heads",
    "n-kv-head n-kv-heads num-key-value-heads": "key-value-heads",
    "model-size n-params num-parameters parameters params": "size",
    "num-return-sequences num-samples samples": "n",
    "out out-dir output-dir output-path run-dir run-name save save-dir save-path": "output",
    "random-seed random-state": "seed",
    "repeat-penalty": "repetition-penalty",
    "response-field output-column target-field": "answer-field",
    "continue resume-from resume-from-checkpoint": "resume",
    "save-total-limit": "keep-checkpoints",
    "steps": "epochs time",
    "stop-sequence stop-sequences stop-words": "stop",
    "temp": "temperature",
    "time tokens": "epochs steps time",
    "val-ratio val-share val-size val-split validation-split test-size": "validation-share",
    "wd": "weight-decay",
}
OTHER_NAMES = {other: ours.split() for others, ours in _NAMES.items() for other in others.split()}


LONGEST = 64  # characters; comparing takes time that grows with their square


def plain(word: str) -> str:
    """The word in the spelling that is compared: `--Learning_Rate` becomes `learning-rate`."""
    return word.lstrip("-").replace("_", "-").lower()


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that `word` may mean: the same word in another spelling, Xinye's names for
    another tool's setting, or else the most similar one. Often none, and always for a long word."""
    if len(word) > LONGEST:
        return []
    names = {plain(each): each for each in known}
    meant = plain(word)
    if meant in names:
        return [names[meant]]
    if ours := [names[each] for each in OTHER_NAMES.get(meant, ()) if each in names]:
        return ours
    near = [name for name in names if is_near(meant, name)]
    best = difflib.get_close_matches(meant, near, n=1, cutoff=0)
    return [names[name] for name in best]


def is_near(word: str, known: str) -> bool:
    """Whether one word begins with the other, or a letter or two turn one into the other. A short
    word must be closer, because few letters agree by chance."""
    shorter, longer = sorted((word, known), key=len)
    more = len(longer) - len(shorter)
    if len(shorter) >= 2 and longer.startswith(shorter):
        return more <= 2 or len(shorter) >= 3
    if more > 2 or len(shorter) < 3:
        return False
    edits = distance(shorter, longer)
    if len(shorter) >= 6:
        return edits <= 2
    return edits <= (2 if len(shorter) >= 4 and word[:2] == known[:2] else 1)


def distance(one: str, other: str) -> int:
    """The number of letters to insert, delete, replace or swap with the next one to turn one word
    into the other (optimal string alignment, a restricted Damerau-Levenshtein distance)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, theirs in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != theirs)))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == theirs:
                row[j] = min(row[j], earlier[j - 2] + 1)
    return row[-1]
