"""What a run's folder keeps in English, in Chinese: reasons of its plan, findings about its data,
names of baselines. For the report and the model card.

A phrase stands for all that differ from it only where it has `{}`. What has no phrase here or in
`chinese_notes.py` stays as it is, for it may be a name of the user's; the tests see that no reason
of a plan and no note of the data is missing.
"""

import re
from functools import cache

from xinye.runs.chinese_notes import ERRORS, NOTES

PHRASES = {
    **NOTES,
    **ERRORS,
    # -- reasons -----------------------------------------------------------------------------------
    "given": "用户指定",
    "what the steps come to": "由步数算出",
    "follows from the steps": "由步数算出",
    "{} are done": "已完成 {} 步",
    "steps done already: {}": "已完成 {} 步",
    "usual": "常用值",
    "in the files, after cleaning": "清洗之后，文件里的文档数",
    "once through the text": "一个轮次的 token 数",
    "the end of each document": "每个文档的末尾",
    "a block of each document": "每个文档中的一段",
    "whole documents": "整篇文档",
    "the end of each document, part {}": "每个文档的末尾，第 {} 份",
    "a block of each document, part {}": "每个文档中的一段，第 {} 份",
    "whole documents, part {}": "整篇文档，第 {} 份",
    "all that {} can see": "{} 最多能看这么多",
    "a twentieth of the text": "全文的二十分之一",
    "99 % of the documents fit": "装得下 99 % 的文档",
    "usual for {} parameters": "{} 个参数的常用值",
    "the 256 bytes": "256 个字节",
    "one for each of 256 bytes": "256 个字节",
    "every character of the text": "文本里的每一个字",
    "{} characters support no more": "{} 个字的文本只撑得起这么多",
    "{} characters are too few for more": "{} 个字的文本只撑得起这么多",
    "for {} parameters": "适合 {} 个参数",
    "for {} parameters and Chinese text": "适合 {} 个参数和中文文本",
    "nearest to {}": "最接近 {}",
    "nearest to {}, two are usual": "最接近 {}，通常两层",
    "nearest to {}, about width / 64": "最接近 {}，约为宽度 / 64",
    "heads of {}": "每个头 {} 维",
    "{} dimensions a head": "每个头 {} 维",
    "halves the cache": "KV 缓存减半",
    "halves the KV cache": "KV 缓存减半",
    "one for each head": "每个头一个",
    "embedding and head are one matrix": "词嵌入和输出头共用一个矩阵",
    "embedding and output head share a matrix": "词嵌入和输出头共用一个矩阵",
    "all weights": "全部权重",
    "{} tokens a step suit {}": "每步 {} 个 token，适合 {}",
    "{} tokens a step suit its size, or are a 64th of the text": (
        "每步 {} 个 token，适合模型大小，或为全文的六十四分之一"
    ),
    "fast, and fits in memory": "速度快，内存够用",
    "{} tokens a step suit its size, or are 1/64 of the text": (
        "每步 {} 个 token，适合模型大小，或为全文的六十四分之一"
    ),
    "fast, and fits in memory": "速度快，内存放得下",
    "the most that fits, tried": "试出来的上限",
    "the most that fits in memory, by trial": "试出来的上限",
    "usual for {} at this width": "{} 在这个宽度下的常用值",
    "usual for {}": "{} 的常用值",
    "four gates lie in each matrix": "每个矩阵里有四个门",
    "each matrix holds four gates": "每个矩阵里有四个门",
    "0.1 · √(128 / width)": "0.1 · √(128 / 宽度)",
    "0.014 · √(128 / width)": "0.014 · √(128 / 宽度)",
    "Muon's does not depend on the width": "Muon 的学习率与宽度无关",
    "× 0.1, for it has learned already": "乘以 0.1，因为模型已经训练过",
    "of the softened predictions": "用来软化预测",
    "share of the teacher in the loss": "教师在损失中的占比",
    "the rate of Muon does not depend on the width": "Muon 的学习率与宽度无关",
    "× 0.1, for it has learned already": "乘以 0.1，因为模型已经学过",
    "× 0.1, because the model is trained already": "乘以 0.1，因为模型已经学过",
    "of the softened predictions": "用来软化预测",
    "softens the predictions": "用来软化预测",
    "share of the teacher in the loss": "教师在损失中所占的份额",
    "2 % of the steps": "总步数的 2 %",
    "5 % of the steps": "总步数的 5 %",
    "5 % of the steps, for the optimizers begin anew": "总步数的 5 %，因为优化器从头开始",
    "5 % of the steps, because the optimizers start fresh": "总步数的 5 %，因为优化器从头开始",
    "the fastest there is": "这里最快的设备",
    "the fastest device here": "这里最快的设备",
    "what fits, planned anew as the run goes": "时间允许的步数，训练中随时重新推算",
    "what fits into the time, updated during the run": "时间允许的步数，训练中随时重新推算",
    "a step takes about {} ms": "每步约 {} 毫秒",
    "{} ms a step, and {} to evaluate": "每步 {} 毫秒，另有评估 {}",
    "{} tokens": "{} 个 token",
    "{} times the text": "{} 个轮次",
    "the text is read about {} times": "约 {} 个轮次",
    "{} times the text": "全文读 {} 遍",
    "the text is read {} times": "全文读 {} 遍",
    "the text is read about {} times": "全文约读 {} 遍",
    "compiling takes longer than it wins here": "编译花的时间比省下的多",
    "compiling takes longer than it saves here": "编译花的时间比省下的多",
    "PyTorch does not compile an LSTM": "PyTorch 不编译 LSTM",
    "no C++ compiler here": "这里没有 C++ 编译器",
    "the run is long enough to win back compiling": "训练够长，编译划得来",
    "the run is long enough for compiling to pay off": "训练够长，编译划得来",
    "started together, without effect on the result": "同时启动，不影响结果",
    "this GPU multiplies bf16": "这块 GPU 支持 bf16 乘法",
    "this GPU computes in bf16": "这块 GPU 支持 bf16 乘法",
    "this GPU has no bf16 units": "这块 GPU 没有 bf16 单元",
    "bf16 is multiplied {} times as fast as fp32 here": "这里 bf16 乘法的速度是 fp32 的 {} 倍",
    "this processor multiplies bf16 {} times as fast as fp32": (
        "这里 bf16 乘法的速度是 fp32 的 {} 倍"
    ),
    "bf16 is not reliable on this device": "bf16 在这个设备上不可靠",
    "the longest record has {} tokens": "最长的样本有 {} 个 token",
    "records are read several times": "样本会训练好几个轮次",
    "layers that do not learn cannot get used to it": "不训练的层适应不了它",
    "frozen layers cannot adapt to it": "不训练的层适应不了它",
    "of {} layers it would drown the text": "{} 层的模型里，它会淹没文本",
    "with {} layers it would hide the text": "{} 层的模型里，它会淹没文本",
    "nothing is written, so that every token may see all others": (
        "不用生成文字，每个 token 可以看到所有 token"
    ),
    "layers that do not learn go on as they were taught": "不训练的层保持原来的注意力方向",
    "each token is written after those before it": "逐个生成，只能看到前面的 token",
    "texts of like length together are padded least": "长度相近的样本放在一起，填充最少",
    "usual for fine-tuning": "微调的常用值",
    "for {} records": "适合 {} 条样本",
    "for {} record": "适合 {} 条样本",
    "{} times the records": "{} 个轮次",
    "the model writes nothing, so every token may see all others": (
        "不用生成文字，所以每个 token 都可以看到其他 token"
    ),
    "layers that do not learn go on as they were taught": "不训练的层保持原来的看法",
    "frozen layers keep the attention they were trained with": "不训练的层保持原来的看法",
    "each token is written after those before it": "每个 token 都接着前面的写",
    "the model writes each token from those before it": "每个 token 都接着前面的写",
    "texts of like length together are padded least": "长度相近的放在一起，填充最少",
    "texts of similar length need little padding": "长度相近的放在一起，填充最少",
    "usual for fine-tuning": "微调的常用值",
    "for {} records": "适合 {} 条样本",
    "for {} record": "适合 {} 条样本",
    "{} times the records": "全部样本读 {} 遍",
    "the records are read {} times": "全部样本读 {} 遍",
    "Muon for matrices, AdamW for the rest": "矩阵用 Muon，其余用 AdamW",
    "few weights are trained": "训练的权重少",
    "few records": "样本少",
    "a fifth of pretraining's": "预训练的五分之一",
    "a fifth of the rate in pretraining": "预训练的五分之一",
    "found by trial": "试验得出",
    "found by experiment": "试验得出",
    "for {} on layers {} wide": "适合宽度为 {1} 的层上的 {0}",
    "method {}": "微调方法为 {}",
    "they alone are trained: {} of all": "只有它们计入损失：占全部的 {}",
    "of every training text, blotted out anew each time": "每条训练文本中每次随机遮蔽的比例",
    "of every training text at most, left out at its ends": "每条训练文本两端最多裁掉的比例",
    "of training texts": "训练文本中被打乱的比例",
    "{} have several sentences": "其中 {} 条不止一句",
    "usual for {} at width {}": "{} 在宽度 {} 下的常用值",
    "method {}": "方法为 {}",
    "they alone are trained: {} of all": "只训练它们：占全部的 {}",
    "of every training text, blotted out anew each time": "每条训练文本中每次随机遮住的比例",
    "of every training text at most, left out at its ends": "每条训练文本两端最多去掉的比例",
    "of training texts": "训练文本中的比例",
    "{} have several sentences": "{} 条有几个句子",
    "part {} of each label's, by the seed": "每个标签的第 {} 份，由种子决定",
    "part {} of them, by the seed": "其中的第 {} 份，由种子决定",
    "{} of each label's, by the seed": "每个标签的 {}，由种子决定",
    "{} of them, by the seed": "其中的 {}，由种子决定",
    # -- baselines, and what a model does ----------------------------------------------------------
    "TF-IDF + logistic regression": "TF-IDF + 逻辑回归",
    "TF-IDF + logistic regression, of {} records": "{} 条样本上的 TF-IDF + 逻辑回归",
    "most frequent tag of the surface form": "词形最常见的标签",
    "the base model": "基座模型",
    "without augmentation": "不做数据增强",
    "Tells which of {} labels a text has.": "判断一段文本属于 {} 个标签中的哪一个。",
    "Finds spans in a text (types: {}).": "找出文本中的 {} 类实体。",
    "Finds spans of {} types in a text.": "找出文本中的 {} 类实体。",  # as older runs keep it
    "Answers in conversations like those it learned from.": "像训练用的对话那样回答。",
    "Does what its records show.": "按训练样本的样子完成任务。",
    "It always answers with one of its labels, also where none fits": (
        "它总会给出一个标签，哪怕没有一个合适"
    ),
    "its probabilities were not calibrated.": "它的概率没有校准过。",
    "It states false things fluently, and was not made safe for anything that matters.": (
        "它会流利地说错话，也没有为任何重要用途做过安全处理。"
    ),
    "classify": "文本分类",
    "tag": "序列标注",
    "chat": "对话",
    # -- the kinds of weights ----------------------------------------------------------------------
    "embeddings": "词嵌入",
    "norms": "归一化",
    "attention": "注意力",
    "feed-forward": "前馈层",
    "head": "输出头",
    "all": "全部",
}

ONE = {  # how a word is written where there is one of something
    "records": "record", "texts": "text", "spans": "span", "tokens": "token", "steps": "step",
    "have": "has", "stand": "stands", "are": "is", "they": "it",
    "windows": "window", "labels": "label", "layers": "layer", "bytes": "byte",
}  # fmt: skip
SETTINGS = {
    "documents": "文档",
    "vocabulary": "词表大小",
    "training_tokens": "训练 token 数",
    "validation_tokens": "验证 token 数",
    "training_records": "训练样本",
    "validation_records": "验证样本",
    "labels": "标签",
    "roles": "角色",
    "answer_tokens": "回答的 token 数",
    "mask_tokens": "遮蔽比例",
    "crop_tokens": "裁剪比例",
    "shuffle_texts": "句子打乱比例",
    "architecture": "结构",
    "layers": "层数",
    "width": "宽度",
    "heads": "注意力头",
    "key_value_heads": "键值头",
    "parameters": "参数",
    "trained_parameters": "可训练参数",
    "context": "上下文长度",
    "attention": "注意力方向",
    "batch_size": "批次大小",
    "micro_batch_size": "微批次大小",
    "epochs": "轮次（epoch）",
    "steps": "步数",
    "seconds": "秒数",
    "total_seconds": "总时长（秒）",
    "evaluations": "评估次数",
    "patience": "早停耐心值",
    "seed": "种子",
    "optimizer": "优化器",
    "learning_rate": "学习率",
    "matrix_learning_rate": "矩阵的学习率",
    "schedule": "学习率调度",
    "warmup": "预热步数",
    "decay": "衰减占比",
    "weight_decay": "权重衰减",
    "label_smoothing": "标签平滑",
    "clip": "梯度裁剪",
    "temperature": "温度",
    "alpha": "教师占比",
    "dtype": "数据类型",
    "device": "设备",
    "compile": "编译",
    "processes": "进程数",
}

UNITS = {"s": "秒", "min": "分", "h": "小时"}


class _Gap(str):
    """What stands in a gap of a phrase; as `{:zh}` it is translated, too."""

    def __format__(self, form: str) -> str:
        return chinese(self) if form == "zh" else str(self)


def chinese(text: str) -> str:
    """A sentence of a run's folder in Chinese, clause by clause."""
    if text in PHRASES:
        return PHRASES[text]
    what, where = _without_place(text)
    counted = re.fullmatch(r"([\d,]+) times, first (.*)", where)
    if counted:
        return f"{chinese(what)}（{counted[1]} 次，最早在 {_place(counted[2])}）"
    if "/" in where or re.search(r"\.\w{2,7}$|, (?:line|record|column) [A-Z\d,]+$", where):
        return f"{chinese(what)}（{_place(where)}）"
    return "；".join(_clause(clause) for clause in text.split("; "))


def error_in_chinese(error: str) -> str:
    """What a run failed with in Chinese; "" where a part of it has no phrase, for half a
    translation explains nothing."""
    clauses = error.split("; ")
    return chinese(error) if all(_clause(clause) != clause for clause in clauses) else ""


def sample_in_chinese(text: str) -> str:
    """What a model said of a record, with the words of ours behind it in Chinese."""
    text = re.sub(r", right is (.*)\Z", r"，正确答案：\1", text)
    return re.sub(r" \(goes on\)\Z", "（未说完）", text).replace("(none)", "（无）")


def _without_place(text: str) -> tuple[str, str]:
    """A sentence, and what stands in the parentheses at its end, which may hold others: "a (1).csv"
    is how browsers save a second copy."""
    depth = 0
    for at in range(len(text) - 1, 0, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if not depth:
            return (text[:at].rstrip(), text[at + 1 : -1]) if text[at] == "(" else (text, "")
    return text, ""


def _clause(clause: str) -> str:
    if clause in PHRASES:
        return PHRASES[clause]
    if base := re.fullmatch(r"(?:as in|of) (\S+)", clause):  # where a setting is from
        return f"与 {base[1]} 相同"
    for pattern, phrase in _patterns():
        if found := pattern.fullmatch(clause):
            return _place(phrase.format(*map(_Gap, found.groups())))
    return clause


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Those phrases that have gaps, the ones with the most words first. They stand for one as for
    several: "1 record has" is found by "{} records have"."""
    gapped = [phrase for phrase in PHRASES if "{}" in phrase]
    gapped.sort(key=lambda phrase: len(phrase.replace("{}", "")), reverse=True)
    found = []
    for phrase in gapped:
        pattern = "(.+?)".join(map(re.escape, phrase.split("{}")))
        for word, alone in ONE.items():
            pattern = re.sub(rf"\b{word}\b", f"(?:{word}|{alone})", pattern)
        found.append((re.compile(pattern, re.DOTALL), PHRASES[phrase]))
    return found


def _place(text: str) -> str:
    """The same with where something stands, such as `reviews.csv, line 17 and line 3`, and with
    units of time."""
    for place, said in {"line": "行", "record": "条"}.items():
        text = re.sub(rf"(?<=\d)(?:, | and ){place} ", "、", text)
        text = re.sub(rf"(?:, | )?\b{place} ([\d,、]*\d)", rf" 第 \1 {said}", text)
    text = re.sub(r", column ([A-Z]+)\b", r" \1 列", text)
    text = re.sub(r"(?<=\d) and (?=\d)", "、", text)
    for unit, said in UNITS.items():
        text = re.sub(rf"(?<=\d) {unit}\b", f" {said}", text)
    return text
