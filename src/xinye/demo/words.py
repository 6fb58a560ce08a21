"""The text of the demos, in both languages."""

from xinye.runs.words import Both

DEMO = {
    "begin": Both(
        "Training a GPT with random weights on short generated stories, for about {time}.",
        "从零开始训练一个 GPT：训练数据是一个小世界里的短故事，大约需要 {time}。",
    ),
    "own": Both(
        "Training a GPT with random weights on your text, for about {time}.",
        "从零开始训练一个 GPT：训练数据是你的文本，大约需要 {time}。",
    ),
    "now": Both("What it writes now:", "训练后，它写出了这样的文字："),
    "known": Both(
        "{good} of its {count} stories are consistent and new: lost things are found, friends who "
        "left come back, and the story is not one of the {stories:,} training stories.",
        "它写的 {count} 个故事里，有 {good} 个前后一致，而且是全新的：丢的东西找得回来，走的人"
        "会回来，训练用的 {stories:,} 个故事里也没有它们。",
    ),
    "fault": Both("One that is not: {story}", "不合格的一个：{story}"),
    "few": Both(
        "That is not many. The model took only {steps:,} steps of {each:.2f} s each{busy}; it "
        "needs about {enough}. Try: xinye demo --time {time}",
        "合格的偏少。这段时间只训练了 {steps:,} 步，每步 {each:.2f} 秒{busy}；"
        "训练 {enough} 步就够了。试试：xinye demo --language zh --time {time}",
    ),
    "busy": Both(
        ", while other programs used the processor (close them if you can)",
        "，而且其他程序也在占用处理器（可以先关掉）",
    ),
    "lies": Both(
        "{parameters:,} parameters, {seconds:.0f} s of training, {bits:.3f} bits per byte on the "
        "validation text ({yardstick}). Saved to {run}",
        "共 {parameters:,} 个参数，训练了 {seconds:.0f} 秒，验证集上每字节 {bits:.3f} 比特"
        "（{yardstick}）。已保存到 {run}",
    ),
    "try": Both("What to try next:", "接下来可以试试："),
}
PROMPT = Both("Pip the mouse", "小兔豆豆")

SUPPORT = {
    "log": Both(
        "An invented shop for tea and cups, {company}: {conversations:,} conversations of its "
        "customer service, generated from wordings that we wrote, and a handbook of {documents} "
        "documents. Customers ask the same in many words, misspell, greet, and give phone numbers.",
        "虚构一家茶具店“{company}”：用我们写的各种说法生成 {conversations:,} 段客服会话，另有 "
        "{documents} 篇手册。同一件事，顾客的问法各不相同，有错别字，有寒暄，也会留下电话。",
    ),
    "desk": Both(
        "A desk is made of log and handbook. No network is trained; that takes --time 10min.",
        "用会话和手册建客服台。演示不训练网络；要训练，加 --time 10min。",
    ),
    "again": Both(
        "The desk in {folder} is opened again, with its conversations. Delete the folder to start "
        "afresh.",
        "打开 {folder} 里已有的客服台，以前的会话还在。想重新开始，请删除这个文件夹。",
    ),
    "tested": Both(
        "Generated questions resemble each other more than real ones, so these figures are too "
        "good. Yours: xinye support prepare YOUR_LOGS -o DESK",
        "生成的问题比真实的问题更相似，所以这些数字偏高。用自己的数据：xinye support prepare "
        "会话记录 -o 客服台",
    ),
    "open": Both("The desk opens, with random keys.", "打开客服台，密钥随机生成。"),
    "customers": Both("customers' page:  ", "顾客页面："),
    "operators": Both("operators' desk:  ", "客服工作台："),
    "operator_key": Both("operator key:     ", "客服密钥："),
    "admin_key": Both("admin key:        ", "管理员密钥："),
    "stop": Both("Press Ctrl-C to stop.", "按 Ctrl-C 停止。"),
    "try": Both(
        "Ask on the customer's page (in words that no conversation has; about what only the "
        "handbook says; about a topic that is left to a person):",
        "在顾客页面问问看（一句换了说法，一句只有手册里有答案，一句属于转人工的话题）：",
    ),
}

TASKS = {
    "records": Both(
        "A program generates {training:,} training records and {held_out:,} test records, simple "
        "enough for a small model to learn in a minute. No record is in both files.",
        "训练集有 {training:,} 条样本，测试集有 {held_out:,} 条，都由程序生成，内容很简单，小模型"
        "一分钟就能学会。两个文件里没有相同的样本。",
    ),
    "base": Both(
        "A base model is pretrained on {texts:,} texts of the shop for {times} epochs, without "
        "labels. The {held_out:,} test records are not among them.",
        "先用茶铺的 {texts:,} 段文本预训练一个基座模型，不用标签，训练 {times} 个轮次；"
        "其中没有测试集的 {held_out:,} 条。",
    ),
    "teach": Both(
        "It is fine-tuned on the {training:,} records, a tenth of which is kept for validation.",
        "再用 {training:,} 条样本微调，其中十分之一留作验证集。",
    ),
    "judge": Both(
        "It is evaluated on the {held_out:,} test records, next to {baseline}.",
        "在测试集的 {held_out:,} 条样本上评估，并与{baseline}对比。",
    ),
    "use": Both("Its output for three new texts:", "用它处理三段新文本："),
    "talk": Both(
        "Three questions in one conversation; the last two refer to the one before:",
        "在一次对话里问三个问题，后两个要联系上文：",
    ),
    "wrong": Both("   (correct: {right})", "   （正确答案：{right}）"),
    "lies": Both(
        "{seconds:.0f} s in total. The model is saved to {run}; the report is {run}/report.html",
        "总共用时 {seconds:.0f} 秒。模型已保存到 {run}，报告见 {run}/report.html",
    ),
    "try": Both("What to try next:", "接下来可以试试："),
}
