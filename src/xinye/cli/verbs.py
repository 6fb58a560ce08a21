"""Words that are not commands here, and the commands that do what they say. A few are aliases; for
the others there is only a hint, because a word alone does not tell which command is meant.
"""

from collections.abc import Iterable

from xinye.guesses import nearest

_MEANT = {
    ("demo",): "example hello quickstart 演示 示例 体验",
    ("demo", "serve"): "start run launch 启动 开始",
    ("pretrain",): "pretraining scratch 预训练",
    ("pretrain", "finetune"): "training learn fit 训练 学习",
    ("finetune",): "adapt dpo ft instruct lora peft tuning 微调 精调 对齐",
    ("generate",): "complete completion infer inference sample 生成 推理 推断 续写 补全",
    ("generate", "classify", "tag"): "predict prediction 预测",
    ("write",): "compose draft 写作 写信",
    ("classify",): "classification label labels 分类",
    ("tag",): "entities ner tagging 标注 实体",
    ("explain",): "attribute attribution interpret shap why 为什么 归因 解释 解读",
    ("chat",): "cli dialog interactive repl talk 对话 聊天",
    ("serve",): "api deploy server serving ui web 服务 部署 网页 界面",
    ("evaluate",): "assess perplexity ppl score test validate 评估 评测 评价 测试 验证",
    ("compare", "runs compare"): "比较 对比",
    ("export",): "convert gguf onnx save 导出 转换 保存",
    ("quantize",): "quant 量化",
    ("merge",): "合并",
    ("distill",): "distillation 蒸馏",
    ("tune",): "hpo optimize search sweep 调参 调优 搜索",
    ("plan",): "规划 计划",
    ("bench",): "perf speed 测速 基准",
    ("doctor",): "devices diagnose env info system 诊断 检测 环境",
    ("download",): "fetch get pull 下载 拉取",
    ("runs",): "experiments history logs models ps status 列表 历史 训练记录 模型",
    ("runs show",): "report show view 查看 报告 显示",
    ("runs clean",): "clean delete prune remove uninstall 删除 清理",
    ("data check",): "check dataset inspect lint 检查 数据",
    ("data mask",): "anonymize desensitize pii redact scrub 脱敏 匿名 打码",
    ("data collect",): "collect crawl extract 收集 采集",
    ("data prepare",): "prepare preprocess pretokenize shard tokenize 预处理 切分",
    ("tokenizer train",): "bpe vocab 分词 分词器 词表",
}
ALIASES = {  # words of other tools, and the commands that they stand for
    "sft": ["finetune"],
    "fine-tune": ["finetune"],
    "train": ["pretrain"],
    "list": ["runs"],
    "ls": ["runs"],
    "rm": ["runs", "clean"],
    "webui": ["serve"],
}
COMMANDS = {word: commands for commands, words in _MEANT.items() for word in words.split()}
COMMANDS |= {word: (" ".join(words),) for word, words in ALIASES.items()}


def verb_meant(word: str, verbs: Iterable[str], group: str = "") -> str:
    """The hint for an unknown command, such as `; did you mean 'runs clean'?`, or "". In a group,
    only commands of that group are suggested.
    """
    commands = {
        each: meant
        for each, meant in COMMANDS.items()
        if all(f"{one} ".startswith(f"{group} ".lstrip()) for one in meant)
    }
    # A similar command comes before a similar word of the table.
    meant = commands.get(word) or nearest(word, verbs)
    if not meant and (near := nearest(word, commands)):
        meant = commands[near[0]]
    return f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""
