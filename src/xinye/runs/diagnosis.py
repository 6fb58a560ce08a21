"""Findings about a run from its figures, and what to try. If a finding is uncertain, it is left
out.

The thresholds leave healthy runs alone. They were set on Chinese and English text with models of 1
to 5 million parameters; see the tests.
"""

import math
from pathlib import Path

import numpy as np

from xinye.checkpoints.folders import CHECKPOINTS
from xinye.errors import plural
from xinye.runs.beside import Finding, beside_baseline, beside_control
from xinye.runs.saved import SavedRun
from xinye.runs.words import Both

FEWEST_STEPS = 50
# On this many tokens of validation text, a loss of 4 ± 3 nats a token has an error of about 1 %.
FEWEST_TOKENS = 4000


def diagnose(run: SavedRun) -> list[Finding]:
    """The findings about a run, problems first. A run without a problem gets the finding that it is
    healthy."""
    if run.task:  # the other checks apply only to the losses of a language model
        return [*filter(None, (_rate_too_high(run), beside_baseline(run), beside_control(run)))]
    if run.state != "failed" and len(run.steps) < FEWEST_STEPS:
        return [_too_short(run)]
    severe = [*filter(None, (_rate_too_high(run), _nothing_learned(run), _overfits(run)))]
    problems = [*severe, *filter(None, (_data_exhausted(run), _validation_too_small(run)))]
    improving = None if severe else _still_improving(run)
    rest = filter(None, (_beside_counting(run), improving))
    found = [*(problems or [_healthy(run)]), *rest]
    return sorted(found, key=lambda finding: finding.good)  # bad news first


def training_loss(run: SavedRun, step: int | None = None) -> float:
    """The mean training loss over a twentieth of the run, which ends with this step or with the
    last one."""
    losses = np.array(
        [record["loss"] for record in run.steps if step is None or record["step"] <= step]
    )
    losses = losses[np.isfinite(losses)][-max(10, len(run.steps) // 20) :]
    return float(losses.mean()) if len(losses) else math.nan


def _too_short(run: SavedRun) -> Finding:
    return Finding(
        "too short",
        Both(
            f"Too short to judge: {plural(run.done, 'step does', 'steps do')} not show how the run "
            "would continue.",
            f"训练太短，无法判断：只有 {run.done:,} 步，看不出后面会怎样。",
        ),
        Both(
            "Train longer: --time 10min, or --steps 500.",
            "多训练一会儿：--time 10min，或 --steps 500。",
        ),
    )


def _rate_too_high(run: SavedRun) -> Finding | None:
    says = _climbs(run)
    if says is None:
        return None
    halved = [
        f"--{name.replace('_', '-')} {rate / 2:.2g}"
        for name in ("matrix_learning_rate", "learning_rate")
        if (rate := getattr(run.plan, name))
    ]
    half = " ".join(halved) or "--learning-rate"
    return Finding(
        "rate too high",
        Both(f"{says.en} The learning rate is too high.", f"{says.zh}学习率太高。"),
        Both(
            f"Start again with half the learning rate: {half}.", f"学习率减半，重新开始：{half}。"
        ),
    )


def _climbs(run: SavedRun) -> Both | None:
    """How the training loss rises or jumps, in words; None if it does not."""
    steps = run.steps_onward
    losses = np.array([record["loss"] for record in steps])
    refused = sum(not math.isfinite(record.get("gradient_norm", 0.0)) for record in steps)
    finite = losses[np.isfinite(losses)]
    if run.state == "failed" and (refused or len(finite) < len(losses)):
        return Both(
            f"Diverged at step {run.done:,}: the loss is no longer a finite number.",
            f"训练在第 {run.done:,} 步发散：损失不再是有限的数。",
        )
    if refused >= 3:
        return Both(
            f"{refused} steps were skipped, because their gradient was not finite.",
            f"有 {refused} 步的梯度不是有限的数，已跳过。",
        )
    if len(finite) < FEWEST_STEPS:
        return None
    pieces = np.array_split(finite, 20)
    smooth = np.array([np.median(piece) for piece in pieces])
    lowest, highest, end, begin = smooth.min(), smooth.max(), smooth[-1], finite[0]
    if highest > 1.05 * begin:
        return Both(
            f"The training loss rose above its first value: {begin:.2f} → {highest:.2f}.",
            f"训练损失升到了比开始时还高：{begin:.2f} → {highest:.2f}。",
        )
    # The lowest of twenty medians is low by chance, too.
    noise = np.median([_deviation(piece) / math.sqrt(len(piece)) for piece in pieces])
    if end > 1.1 * lowest and end - lowest > max(0.1, 6 * noise):
        step = sum(map(len, pieces[: int(smooth.argmin()) + 1]))
        return Both(
            f"The training loss rose again from step {step:,}: {lowest:.2f} → {end:.2f}.",
            f"训练损失从第 {step:,} 步起又升高：{lowest:.2f} → {end:.2f}。",
        )
    # A batch of labels has a high loss whenever it has a hard record.
    spikes = [] if run.task else _spikes(finite)
    if len(spikes) < 3:
        return None
    return Both(
        f"The training loss jumps up {len(spikes)} times, first at step {spikes[0] + 1:,}.",
        f"训练损失突然跳高 {len(spikes)} 次，第一次在第 {spikes[0] + 1:,} 步。",
    )


def _beside_counting(run: SavedRun) -> Finding | None:
    """The bits per byte compared with gzip and a 5-gram model, which need no network."""
    bits, yardstick = run.bits_per_byte, run.about.data.yardstick
    if bits is None or yardstick is None:
        return None
    gzip, five_gram = yardstick.gzip, yardstick.five_gram
    en = f"{bits:.3f} bits per byte; gzip needs {gzip:.3f}, a 5-gram model {five_gram:.3f}."
    zh = f"每字节 {bits:.3f} 比特，gzip 需要 {gzip:.3f}，5-gram {five_gram:.3f}。"
    if bits < five_gram:
        return Finding(
            "better than counting",
            Both(
                f"Predicts unseen text better than n-gram counts do: {en}",
                f"对没见过的文本，预测得比 5-gram 统计好：{zh}",
            ),
        )
    return Finding(
        "worse than counting",
        Both(
            f"Does not predict unseen text better than n-gram counts yet: {en}",
            f"对没见过的文本，预测得还不如 5-gram 统计：{zh}",
        ),
        Both(
            "Train longer; the 5-gram model is built in less than a second.",
            "训练久一些；5-gram 模型统计一遍还不到一秒。",
        ),
    )


def _deviation(losses: np.ndarray) -> np.ndarray:
    """The standard deviation of the losses, or of each row of them, from the median deviation,
    which jumps do not affect."""
    middle = np.median(losses, axis=-1, keepdims=True)
    return np.asarray(1.4826 * np.median(np.abs(losses - middle), axis=-1))


def _spikes(losses: np.ndarray) -> list[int]:
    """The steps at which the loss is far above the median of the thirty steps before, twice in a
    row. The first tenth of the run does not count."""
    width = -(-len(losses) // 20_000)  # the steps of a very long run are averaged in groups
    losses = losses[: len(losses) // width * width].reshape(-1, width).mean(axis=1)
    before = np.lib.stride_tricks.sliding_window_view(losses, 30)[:-2]
    middle = np.median(before, axis=1)
    far = np.minimum(losses[30:-1], losses[31:]) > middle + np.maximum(
        8 * _deviation(before), 0.15 * middle
    )
    found: list[int] = []
    for at in np.flatnonzero(far) + 30:
        if at >= len(losses) // 10 and (not found or at > found[-1] + 30):
            found.append(int(at))
    return [at * width for at in found]


def _nothing_learned(run: SavedRun) -> Finding | None:
    last = min(run.validations[-1]["loss"], training_loss(run)) if run.validations else math.nan
    frequencies = run.about.data.unigram_loss or math.inf
    vocabulary = run.plan.vocabulary or 0
    uniform = math.log(vocabulary) if vocabulary > 1 else math.inf
    if not last > 0.97 * min(frequencies, uniform) or _rate_too_high(run):
        return None
    return Finding(
        "nothing learned",
        Both(
            f"Learned almost nothing: the loss is {last:.2f}, while predicting tokens only by "
            f"their frequency gives {min(frequencies, uniform):.2f}.",
            f"几乎什么都没学到：损失 {last:.2f}，而只凭每个 token 的频率就能达到 "
            f"{min(frequencies, uniform):.2f}。",
        ),
        Both(
            "Train longer; if that does not help, check the text (xinye data check) and the "
            "learning rate.",
            "训练久一些；如果没有用，请检查文本（xinye data check）和学习率。",
        ),
    )


def _overfitted_from(run: SavedRun) -> tuple[int, float] | None:
    """The step and loss of the best validation, if the run got clearly worse after it while the
    training loss kept falling; else None, and if the model of that step is what was saved."""
    losses = [record["loss"] for record in run.curve]
    best = int(np.argmin(losses)) if losses else 0
    if len(losses) < 4 or best > len(losses) - 3:
        return None
    step = run.curve[best]["step"]
    if step == run.model_step:
        return None
    worse = min(losses[-2:]) > 1.015 * losses[best]
    learned = training_loss(run) < 0.99 * training_loss(run, step)
    return (step, losses[best]) if worse and learned else None


def best_checkpoint(run: SavedRun) -> Path | None:
    """The checkpoint of the step from which a run overfits; None if it does not or the checkpoint
    is gone."""
    best = _overfitted_from(run)
    path = run.folder / CHECKPOINTS / f"step-{best[0]:08d}" if best else None
    return path if path in run.checkpoints else None


def _overfits(run: SavedRun) -> Finding | None:
    best = _overfitted_from(run)
    if best is None:
        return None
    step, loss = best
    before, now = training_loss(run, step), training_loss(run)
    dropout = min(0.5, run.plan.dropout + 0.1)
    kept = best_checkpoint(run)
    return Finding(
        "overfits",
        Both(
            f"Overfits from step {step:,} on: since then the validation loss has risen from "
            f"{loss:.2f} to {run.curve[-1]['loss']:.2f}, while the training loss has "
            f"fallen from {before:.2f} to {now:.2f}.",
            f"从第 {step:,} 步起过拟合：此后验证损失从 {loss:.2f} 升到 "
            f"{run.curve[-1]['loss']:.2f}，而训练损失从 {before:.2f} 降到 {now:.2f}。",
        ),
        Both(
            (f"The model of that step is saved: {kept}. " if kept else "")
            + f"More text helps most. With this text, stop there (--steps {step}), or use a "
            f"smaller --size or --dropout {dropout:.1f}.",
            (f"那一步的模型已保留：{kept}。" if kept else "")
            + f"最有效的是增加文本。文本不变的话：训练到那一步为止（--steps {step}），"
            f"或用更小的 --size，或 --dropout {dropout:.1f}。",
        ),
    )


def _data_exhausted(run: SavedRun) -> Finding | None:
    curve, epochs = run.curve, run.epochs or 0.0
    if len(curve) < 4 or epochs < 4 or _overfitted_from(run) or _still_improving(run):
        return None
    first, last = curve[len(curve) // 4], curve[-1]
    gaps = [record["loss"] - training_loss(run, record["step"]) for record in (first, last)]
    if not (gaps[1] > 0.08 * last["loss"] and gaps[1] - gaps[0] > 0.05 * last["loss"]):
        return None
    return Finding(
        "data exhausted",
        Both(
            f"The text is nearly exhausted: training has taken {epochs:.1f} epochs, and the "
            f"validation loss is {gaps[1]:.2f} above the training loss ({gaps[0]:.2f} at step "
            f"{first['step']:,}).",
            f"文本已接近用尽：已训练 {epochs:.1f} 个轮次，验证损失比训练损失高 {gaps[1]:.2f}"
            f"（第 {first['step']:,} 步时高 {gaps[0]:.2f}）。",
        ),
        Both(
            "More text helps now; more time helps little. A larger --size would only memorize the "
            "text sooner.",
            "现在有效的是增加文本，延长时间用处不大。更大的 --size 只会更快把文本背下来。",
        ),
    )


def _validation_too_small(run: SavedRun) -> Finding | None:
    tokens = run.plan.validation_tokens
    if tokens is None or tokens >= FEWEST_TOKENS:
        return None
    percent = 100 * 0.75 / math.sqrt(max(1, tokens))  # the standard error of a mean of 4 ± 3
    return Finding(
        "validation too small",
        Both(
            f"The validation text is small, {tokens:,} tokens: differences between runs below "
            f"about {2 * percent:.0f} % mean nothing.",
            f"验证文本太少，只有 {tokens:,} 个 token：两次训练相差不到 {2 * percent:.0f} % 左右时，"
            "分不出好坏。",
        ),
        Both("Use more text, or --validation 0.2.", "请增加文本，或用 --validation 0.2。"),
    )


def _still_improving(run: SavedRun) -> Finding | None:
    curve = run.curve
    middle = [record for record in curve if record["step"] <= run.done / 2]
    late = [record for record in curve if record["step"] <= 0.8 * run.done]
    if len(curve) < 5 or not middle or run.state == "running":
        return None
    last = curve[-1]
    gained = middle[-1]["bits_per_byte"] - last["bits_per_byte"]
    if late[-1]["loss"] < 1.005 * last["loss"] or gained < 0.015 * last["bits_per_byte"]:
        return None
    says = Both(
        f"Still improving at the end: the second half of the steps gained {gained:.3f} bits per "
        "byte.",
        f"训练结束时仍在进步：后一半步数使每字节减少了 {gained:.3f} 比特。",
    )
    if 2 * (run.epochs or 0.0) > 4:
        advice = Both(
            f"More steps help, and more text helps more: training took {run.epochs:.1f} epochs.",
            f"延长训练有用，增加文本更有用：现有文本已训练 {run.epochs:.1f} 个轮次。",
        )
    else:
        advice = Both(
            f"Twice the steps (--steps {2 * run.done}) may gain up to that much again, probably "
            "less.",
            f"步数加倍（--steps {2 * run.done}）最多可能再减少这么多，通常会少一些。",
        )
    return Finding("still improving", says, advice)


def _healthy(run: SavedRun) -> Finding:
    so_far = run.state == "running"
    unseen = bool(run.validations)
    return Finding(
        "healthy",
        Both(
            f"Healthy{' so far' * so_far}: the loss fell without "
            f"jumps{', also on validation text' * unseen}.",
            f"{'到目前为止' * so_far}训练正常：损失平稳下降{'，验证损失也是' * unseen}。",
        ),
    )
