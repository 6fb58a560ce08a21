"""Chinese for what a run's folder keeps in English, for the report and the model card."""

import re

from xinye.language import chinese

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
    "mask_tokens": "遮盖比例",
    "crop_tokens": "裁剪比例",
    "shuffle_texts": "句子打乱比例",
    "architecture": "架构",
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
    "activation_checkpointing": "激活重计算",
    "epochs": "轮次（epoch）",
    "steps": "步数",
    "seconds": "秒数",
    "total_seconds": "总时长（秒）",
    "evaluations": "评估次数",
    "patience": "早停耐心值",
    "cooldown": "退火步数",
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
    "parallel": "并行方式",
}


def error_in_chinese(error: str) -> str:
    """The error that ended a run in Chinese; empty if a part of it has no translation, because half
    a translation helps nobody."""
    clauses = error.split("; ")
    return chinese(error) if all(chinese(clause) != clause for clause in clauses) else ""


def sample_in_chinese(text: str) -> str:
    """A sample of a task's model, with Xinye's own words at its end in Chinese."""
    text = re.sub(r", right is (.*)\Z", r"，正确答案：\1", text)
    return re.sub(r" \(goes on\)\Z", "（未说完）", text).replace("(none)", "（无）")
