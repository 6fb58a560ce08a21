"""What the demos say, in both languages: `--language` chooses between them."""

DEMO: dict[str, dict[str, str]] = {
    "en": {
        "begin": "A GPT that knows nothing will read stories of a small world for about {time}. "
        "Watch it learn.",
        "own": "A GPT that knows nothing will read your text for about {time}. Watch it learn.",
        "now": "What it writes now:",
        "known": "{good} of {count} of its stories are consistent and new: the lost thing is "
        "the one that is found, the one who left returns, and none of them was in the "
        "{stories:,} it read.",
        "fault": "An example of its mistakes: {fault}",
        "few": "That is few. The time was enough for {steps:,} steps of {each:.2f} s{busy}; "
        "{enough} steps suffice. Try: xinye demo --time {time}",
        "busy": ", and other programs used the processor: close them if you can",
        "lies": "{parameters:,} parameters, {seconds:.0f} s of training, {bits:.3f} bits per byte "
        "of text it had not seen ({yardstick}). Saved to {run}",
        "try": "What to try next:",
        "prompt": "Pip the mouse",
    },
    "zh": {
        "begin": "一个什么都不会的 GPT，马上要读一个小小世界里的短故事，大约 {time}。看它怎样学会"
        "写字。",
        "own": "一个什么都不会的 GPT，马上要读你的文字，大约 {time}。看它怎样学会写字。",
        "now": "它现在这样写：",
        "known": "它讲的 {count} 个故事里，{good} 个前后一致，而且是新的：丢了什么就找到什么，"
        "谁走了就是谁回来，读过的 {stories:,} 个故事里一个也没有它们。",
        "fault": "出错的时候是这样错的：{fault}",
        "few": "不算多。这段时间里只训练了 {steps:,} 步，每步 {each:.2f} 秒{busy}；"
        "{enough} 步就够了。试试：xinye demo --language zh --time {time}",
        "busy": "，而且别的程序也在占用处理器：能关就先关掉",
        "lies": "{parameters:,} 个参数，训练 {seconds:.0f} 秒；"
        "没读过的文字，每字节 {bits:.3f} 比特（{yardstick}）。"
        "训练目录：{run}",
        "try": "接下来可以试：",
        "prompt": "小兔豆豆",
    },
}

TASKS: dict[str, dict[str, str]] = {
    "en": {
        "records": "{training:,} records to learn from and {held_out:,} to evaluate on, made by a "
        "generator: a world so small that a small model learns it in a minute. No "
        "record is in both files.",
        "base": "A base model first trains on {texts:,} texts of the shop, {times} times and "
        "without labels; the {held_out:,} are not among them.",
        "teach": "It learns the task from the {training:,} records; a tenth of them is held out "
        "for validation.",
        "judge": "It is evaluated on the {held_out:,} held-out records, next to {baseline}.",
        "use": "Its answers for three new texts:",
        "talk": "Three questions in one conversation; the last two refer to the one before:",
        "wrong": "   (generated as {right})",
        "lies": "{seconds:.0f} s in all. The model is in {run}, its report in {run}/report.html",
        "try": "What to try next:",
    },
    "zh": {
        "records": "{training:,} 条样本用来学，{held_out:,} 条用来评估，都由程序生成：世界很小，"
        "小模型一分钟就能学会。"
        "两个文件里没有相同的样本。",
        "base": "先让一个基座模型读茶铺的 {texts:,} 段文字，没有标签，读 {times} 遍；那 "
        "{held_out:,} 条不在其中。",
        "teach": "它从 {training:,} 条样本学这个任务，留出十分之一做验证。",
        "judge": "用没见过的 {held_out:,} 条评估，并与{baseline}对比。",
        "use": "三段新文字，它的判断：",
        "talk": "一次对话里的三个问题，后两个要接着前面的话：",
        "wrong": "   （生成时是{right}）",
        "lies": "一共 {seconds:.0f} 秒。模型在 {run}，报告在 {run}/report.html",
        "try": "接下来可以试：",
    },
}
