"""What the demo of the task `classify` teaches: good and bad reviews, or six emotions."""

from dataclasses import replace

from xinye.runs.words import Both
from xinye.tasks.exercise import Exercise
from xinye.tasks.exercises import emotions, reviews

_REVIEWS = Exercise(
    make=reviews,
    begin=Both(
        "A GPT will learn to tell good reviews of a tea shop from bad ones.",
        "训练一个 GPT，让它分辨茶铺的好评和差评。",
    ),
    baseline=Both(
        "a baseline of word counts (TF-IDF, linear SVM, naive Bayes) on the same records",
        "词频统计基线（同样的样本，TF-IDF、线性 SVM 加朴素贝叶斯）",
    ),
    line=lambda row: f"{row['text']} → {row['label']}",
    answered=lambda row, result: (
        {**row, "label": result["label"]},
        f"{result['probability']:.1%}",
    ),
)
EMOTIONS = replace(
    _REVIEWS,
    make=emotions,
    begin=Both(
        "A GPT will learn to tell six emotions apart: joy, sadness, anger, fear, surprise and "
        "disgust.",
        "训练一个 GPT，让它分辨六种情绪：高兴、悲伤、愤怒、恐惧、惊讶和厌恶。",
    ),
    training=600,
    words={
        "base": Both(
            "A base model is pretrained on {texts:,} texts about feelings for {times} epochs, "
            "without labels. The {held_out:,} test records are not among them.",
            "先用 {texts:,} 段写心情的文本预训练一个基座模型，不用标签，训练 {times} 个轮次；"
            "其中没有测试集的 {held_out:,} 条。",
        ),
    },
)
REVIEWS = replace(_REVIEWS, sets={"emotions": EMOTIONS})
