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

MONITOR = {
    "texts": Both(
        "An invented market of cafés, from wordings that we wrote: {texts:,} texts, each labelled "
        "with its topics and its mood, and a month of {documents:,} news and posts, {repeats} of "
        "them repeats. In the last hours there is a burst: {burst} documents about one subject.",
        "虚构一个咖啡茶饮市场，文字都是我们写的：{texts:,} 段文本，每段标有主题和情感倾向；另有一个"
        "月的新闻和帖子共 {documents:,} 篇，其中 {repeats} 篇是转载。最后几小时里藏着一次突发："
        "{burst} 篇文档都在说同一件事。",
    ),
    "monitor": Both(
        "Models of topics and moods learn from the labelled texts for about {time}.",
        "用带标签的文本训练主题模型和情感模型，约 {time}。",
    ),
    "tested": Both(
        "Generated texts resemble each other more than real ones, so these figures are too good, "
        "and TF-IDF is hard to beat. A quarter of the wordings of the month is not in the labelled "
        "texts.",
        "生成的文本比真实的更相似，所以这些数字偏高，基线也很难超过。那一个月里，有四分之一的说法没有出现"
        "在带标签的文本里。",
    ),
    "replay": Both(
        "The month is replayed by its own dates, as if the monitor had been there.",
        "按文档自己的日期回放这个月，就像当时已经在监测。",
    ),
    "found": Both(
        "The burst is about “{topic}” and “{company}”. It begins at {begin}; the first alarm about "
        "it comes {minutes:.0f} minutes later.",
        "这次突发说的是“{company}”的“{topic}”，从 {begin} 开始；{minutes:.0f} 分钟后发出第一条"
        "预警。",
    ),
    "missed": Both(
        "The burst, which is about “{topic}” and “{company}”, was not found: the models had too "
        "little time. Try: xinye demo --application monitor --time 3min",
        "没有发现这次突发（“{company}”的“{topic}”）：模型的训练时间太短。试试：xinye demo "
        "--application monitor --language zh --time 3min",
    ),
    "again": Both(
        "The monitor in {folder} is opened again. Delete the folder to start afresh.",
        "打开 {folder} 里已有的舆情监测。想重新开始，请删除这个文件夹。",
    ),
    "open": Both("The board opens, with random keys.", "打开看板，密钥随机生成。"),
    "board": Both("board:        ", "看板："),
    "analyst_key": Both("analyst key:  ", "分析员密钥："),
    "admin_key": Both("admin key:    ", "管理员密钥："),
    "ingest_key": Both("ingest key:   ", "写入密钥："),
    "try": Both(
        "On the board, acknowledge the alarm, filter by company, and correct a document. Then send "
        "a document:",
        "在看板上确认预警、按公司筛选、更正一篇文档的主题。再写入一篇文档试试：",
    ),
    "send": Both(
        "curl {url} -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
        """-d '{{"text": "Waited two hours for Fenroe Tea, and no courier came."}}'""",
        "curl {url} -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
        """-d '{{"text": "等了两个小时，苔野甜品的外卖还没送到。"}}'""",
    ),
    "stop": Both("Press Ctrl-C to stop.", "按 Ctrl-C 停止。"),
}

RECOMMEND = {
    "files": Both(
        "An invented bookshop, {shop}, with names that we made up: {books} books, of which {new} "
        "are so new that nobody has bought them, and {events:,} purchases and looks of {readers} "
        "readers in three years. Most books are volumes of a series.",
        "虚构一家书店“{shop}”，书名和作者都是我们编的：{books} 种书，其中 {new} 种刚上架，还没有人"
        "买过；{readers} 位读者三年里的购买和浏览共 {events:,} 次。多数书属于某个系列。",
    ),
    "train": Both(
        "A small GPT is trained from scratch for about a minute to predict the next purchase of a "
        "reader; looks do not count. Then it is mixed with simple methods that count.",
        "从零训练一个小 GPT，预测读者接下来会买哪本书，约一分钟；浏览不计入。再把它与几种简单的统计"
        "方法混合。",
    ),
    "table": Both(
        "The last purchase of each reader is predicted, among all books that the reader does not "
        "have. It was not used in training. “This model” is the mix.",
        "预测每位读者的最后一次购买（没有用于训练），在这位读者没有的所有书里排名。“本模型”指混合。",
    ),
    "tested": Both(
        "Invented readers are more regular than real ones, so these figures are too good.",
        "虚构的读者比真实的更有规律，所以这些数字偏高。",
    ),
    "readers": Both("Books for two readers, with reasons.", "给两位读者推荐，并说明理由。"),
    "reader": Both(
        "Reader {reader} has bought, last: {titles}",
        "读者 {reader} 最近买了：{titles}",
    ),
    "arrival": Both(
        "A book arrives that was not there in training: “{title}”. It is put into the catalogue, "
        "as the service does with PUT /v1/items/{id}, and nothing is trained.",
        "到了一本训练时还没有的新书：《{title}》。把它加进目录（相当于服务的 PUT /v1/items/{id}），"
        "不重新训练。",
    ),
    "found": Both(
        "The new book is number {place} for reader {reader}, by its text alone.",
        "新书只凭文字，就排在读者 {reader} 的第 {place} 位。",
    ),
    "missed": Both(
        "The new book is not among the first {count} for reader {reader}.",
        "新书没有进入读者 {reader} 的前 {count} 位。",
    ),
    "lies": Both(
        "{seconds:.0f} s in total. The model is saved to {run}; the report is {run}/report.html",
        "总共用时 {seconds:.0f} 秒。模型已保存到 {run}，报告见 {run}/report.html",
    ),
    "try": Both("What to try next:", "接下来可以试试："),
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
