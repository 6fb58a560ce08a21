"""What is said of a run's data, and what a run fails with, in Chinese: a line for each sentence,
with `{}` where it differs. A gap that holds words of ours is `{:zh}` in the Chinese.

`tests/runs/test_chinese_notes.py` names each sentence that is missing here.
"""

NOTES = {
    # -- files and tables --------------------------------------------------------------------------
    "a bad byte became �, the first at offset {}": "1 个无法解码的字节换成了 �，偏移量为 {}",
    "{} bad bytes became �, the first at offset {}": (
        "{} 个无法解码的字节换成了 �，第一个的偏移量为 {}"
    ),
    "read as {}: a bad byte became �, the first at offset {}": (
        "按 {} 读取：1 个无法解码的字节换成了 �，偏移量为 {}"
    ),
    "read as {}: {} bad bytes became �, the first at offset {}": (
        "按 {} 读取：{} 个无法解码的字节换成了 �，第一个的偏移量为 {}"
    ),
    "read as {}, a guess: {} bytes are not ASCII": (
        "按 {} 读取，这只是推测：有 {} 个字节不是 ASCII 字符"
    ),
    "text beside files of records is not read": "与数据文件放在一起的纯文本文件没有读",
    "name it, if it is one": "如果它也是数据，请单独写出它的路径",
    "archives of the kind {} are passed over": "跳过了 {} 压缩包",
    "unpack them": "请先解压",
    "files of the kind {} are not read": "不读取 {} 类文件",
    "one object that holds a table, column by column: read as its rows": (
        "整个文件是一个按列存放的表格对象：按行读取"
    ),
    "JSON lines by its name, but an array of JSON: read as that": (
        "扩展名是 JSON Lines，内容却是一个 JSON 数组：按数组读取"
    ),
    "no array of JSON, but one value after the other: read as that": (
        "内容不是 JSON 数组，而是一个接一个的 JSON 值：逐个读取"
    ),
    "of {} sheets only {}, the first table, is read": "{} 个工作表中只读第一个表格 {}",
    "of {} sheets only {}, the first with any rows, is read": "{} 个工作表中只读第一个非空的 {}",
    "save {} as files of their own": "其余的 {} 请另存为单独的文件",
    "save {} as a file of its own": "另一个 {} 请另存为单独的文件",
    "--sheet NAME reads another: {}": "要读其他工作表，用 --sheet 指定：{}",
    "--sheet has no effect: the file is no workbook": "--sheet 不起作用：这个文件不是工作簿",
    "the sheet {} is hidden in the workbook, and read": "工作表 {} 在工作簿中是隐藏的，照样读取",
    "the row is hidden in the workbook, perhaps filtered: read": (
        "有的行在工作簿中是隐藏的，可能被筛选掉了：照样读取"
    ),
    "the column is hidden in the workbook: read": "有的列在工作簿中是隐藏的：照样读取",
    "the cell holds the error {} of a spreadsheet: read as empty": (
        "单元格里是电子表格的错误值 {}：当作空单元格"
    ),
    "a cell that is merged over several rows stands in each of them": (
        "跨多行的合并单元格，每一行都填入它的值"
    ),
    "the title {} above the table is left out": "略去了表格上方的标题 {}",
    "the columns are parted by {}, unlike the file's name": "列由 {} 分隔，与扩展名不符",
    "the header stands again, and is left out": "表头重复出现，已略去",
    "columns of the header ({}) have no name": "表头（{}）中有的列没有名字",
    "if the header stands further down, delete the rows above it": (
        "如果表头在下面，请删去它上面的行"
    ),
    "{}: the first line is a record, for {}, and columns have numbers": (
        "{}：第一行当作数据（{:zh}），各列用序号表示"
    ),
    "its columns are named by number": "列是按序号指定的",
    "{} in it is a number": "其中的 {} 是数字",
    "{} stands in its column again": "{} 在同一列里又出现了",
    "{} is a text": "{} 是正文",
    "none of its words names a question or an answer": "其中没有表示问题或回答的列名",
    "if it is a header, name columns by its words: {}": "如果它是表头，请用其中的列名指定：{}",
    "add a header": "请加上表头",
    "the first line is a header: {}": "第一行是表头：{}",
    # -- annotations -------------------------------------------------------------------------------
    "no annotation of the text: left out": "文本没有标注：已略去",
    "several annotations of one text: that marked as ground truth is read, else the first": (
        "一段文本有多份标注：读取标为标准答案的那份，没有则取第一份"
    ),
    "an annotation was cancelled: left out": "有的标注已取消：已略去",
    "the annotator's answer is {}: left out": "标注者的答复是 {}：已略去",
    "results of the kind {} are not read": "不读取 {} 类的标注结果",
    "relations between spans are not read": "不读取实体之间的关系",
    # -- labels ------------------------------------------------------------------------------------
    "the text is {}, which looks like a missing value": "文本是 {}，像是缺失值",
    "the label is {}, which looks like a missing value": "标签是 {}，像是缺失值",
    "the field {} is not read": "字段 {} 没有读取",
    "the columns {} are 0 or 1: each is read as a label": "{} 各列的值是 0 或 1：每列读作一个标签",
    "no record has the labels {}: they are not learned": "没有样本带有标签 {}：不会学习",
    "nothing was chosen for the text: left out": "文本没有选定任何标签：已略去",
    "no label in the list: learned as a text that has none of the labels": (
        "标签列表为空：当作不属于任何标签的文本"
    ),
    "the label is 0 or 1 for each class: read as the numbers of the classes": (
        "每个类别标 0 或 1：读作类别的编号"
    ),
    "the label is a list written as a text: read as several labels": (
        "标签是写成文本的列表：读作几个标签"
    ),
    "the label {} loses characters that cannot be seen": "标签 {} 去掉了不可见字符",
    "the label {} is read as {}": "标签 {} 读作 {}",
    "labels that look like one spelled in {} ways: {}": "看起来是同一个标签的 {} 种写法：{}",
    "{} records have labels such as {}, which looks like several": "{} 条样本的标签形如 {}，像是几个标签",
    "if a text has several: --label-separator {}": "一段文本有几个标签时，用 --label-separator {}",
    "unbalanced: {} records of {}, {} of {}": "不平衡：{1} 有 {0} 条，{3} 只有 {2} 条",
    "unbalanced: {} spans of {}, {} of {}": "不平衡：{1} 有 {0} 个实体，{3} 只有 {2} 个",
    "{} texts have two different {}s: first {} ({} and then {})": (
        "{0} 段文本有两个不同的标签：最早的是 {2}（先是 {3}，后是 {4}）"
    ),
    "{} texts have two different {}s: first {}": "{0} 段文本有两个不同的标签：最早的是 {2}",
    "does another column belong to it? --text-field ONE,OTHER": (
        "是不是还有一列属于文本？--text-field 一列,另一列"
    ),
    "{}s of validation records that no training record has: {}": (
        "验证样本中有训练样本没有的标签：{1}"
    ),
    # -- spans -------------------------------------------------------------------------------------
    "a line stands for several tokens or for none: left out": (
        "一行对应几个 token 或没有 token：已略去"
    ),
    "a token is a space": "有的 token 是空格",
    "a token has several words before its tab, which stay together": (
        "有的 token 在制表符前有几个词，仍算一个"
    ),
    "a comment, a line that begins with #, is left out": "以 # 开头的注释行已略去",
    "columns {} hold tags: the last is read": "第 {} 列都是标签：读取最后一列",
    "--label-field names another": "可用 --label-field 指定另一列",
    "the end of a span is its last character, as its words say, not the one behind": (
        "从实体的文字看，结束位置是它的最后一个字符，而不是后一位"
    ),
    "a span holds nothing but spaces: left out": "有的实体只含空格：已略去",
    "a span begins or ends with spaces, which are left out of it": "有的实体首尾带空格：不算在内",
    "a span stands there twice, and is learned once": "有的实体出现两次，只学一次",
    "{} texts stand there with two different taggings: first {}": (
        "{} 段文本有两种不同的标注：最早的是 {}"
    ),
    "{} records have spans that overlap, of which one is learned: first {}": (
        "{} 条样本的实体有重叠，只学其中一个：最早的是 {}"
    ),
    "each Han character and mark is a token now, {} times as many as the base knew: "
    "one pretrained with --tokenizer char learns to tag much better": (
        "现在每个汉字和标点是一个 token，数量是基座模型的 {} 倍：用 --tokenizer char "
        "预训练的基座模型学标注会好得多"
    ),
    "{} of {} spans have a border inside a token, so that they cannot be found": (
        "{1} 个实体中有 {0} 个的边界落在 token 中间，找不出来"
    ),
    # -- conversations -----------------------------------------------------------------------------
    "no header: the first column is read as the question, the second as the answer": (
        "没有表头：第一列读作问题，第二列读作回答"
    ),
    "by words within their names {} is read as the question, and {} as the answer": (
        "根据列名中的词，{} 读作问题，{} 读作回答"
    ),
    "{} {} is read as {}": "{} 的值 {} 读作 {}",
    "the times are not compared: the messages stay in the order of the file, for {} is {}, "
    "which is no date (year first), date and time, or whole number, as all must be in the "
    "same way": (
        "时间无法比较：消息保持文件里的顺序，因为 {} 是 {}，不是日期（年份在前）、日期加时间或"
        "整数，而各行的写法必须一致"
    ),
    "the messages are sorted by {}": "消息按 {} 排序",
    "{} is false: left out, a bad answer": "{} 为 false，表示回答不好：已略去",
    "the {} of an answer is empty": "回答对应的 {} 为空",
    "{} are read as text of the system message: <tools>…": "{} 读作系统消息中的文字：<tools>…",
    "messages without a speaker are read as the user's and the assistant's in turn": (
        "没有注明说话人的消息依次读作用户和助手的话"
    ),
    "calls of tools are learned as text, in <tool_call>": (
        "工具调用当作文字来学，写在 <tool_call> 里"
    ),
    "an answer of {} 0 is read, and not trained": "{} 为 0 的回答只读不训练",
    "what stands behind the last answer is left out": "略去了最后一个回答之后的内容",
    "messages of {} are learned as answers, as they stand": "{} 的消息原样当作回答来学",
    "the speaker {} is read as {}": "说话人 {} 读作 {}",
    "the role {} is read as {}": "角色 {} 读作 {}",
    "messages of one speaker behind each other are joined by a line's end": (
        "同一说话人的连续消息合并成一条，中间换行"
    ),
    "a line with a time and without a speaker is left out": "略去了有时间而没有说话人的行",
    "a line above the first message is left out": "略去了第一条消息上方的行",
    "of several versions of a conversation the one shown last is read": (
        "一段对话有几个版本：读取最后显示的那个"
    ),
    "messages without a text, such as calls of tools, are left out": (
        "略去了没有文字的消息，例如工具调用"
    ),
    "notes that the customer does not see are left out": "略去了客户看不到的备注",
    "the time before a speaker is left out": "略去了说话人前面的时间",
    "a line begins with a word and a colon, and is part of the message before": (
        "有的行以词语加冒号开头，算作上一条消息的一部分"
    ),
    "a line without a speaker goes on with the message before the empty line": (
        "没有说话人的行，接在空行之前的消息后面"
    ),
    "an empty line stands behind each message: a question and its answer are one": (
        "每条消息后面都有空行：一问一答算作一段对话"
    ),
    "the model's chat template leaves out messages of the role {}: first {}": (
        "模型的对话模板略去了角色 {} 的消息：最早的是 {}"
    ),
    "{} records have an empty answer, too, which is learned as it is: first {}": (
        "{} 条样本含有空的回答，照样会学：最早的是 {}"
    ),
    # -- records of every task ---------------------------------------------------------------------
    "{} bad records are left out: {}": "略去了 {} 条无效样本，程序的原文是：{}",
    "{} records stand there again: first {}": "{} 条样本重复：最早的是 {}",
    "{} of {} records stand there again: first {}": "{1} 条样本中有 {0} 条重复：最早的是 {2}",
    "{} of {} validation records are in the training data, too, which flatters the model: "
    "first {}": "{1} 条验证样本中有 {0} 条也在训练数据里，结果会偏高：最早的是 {2}",
    "{} training records are longer than {} tokens: {}": "{} 条训练样本超过 {} 个 token：{:zh}",
    "cut": "已截断",
    "without the oldest turns, and where that is not enough, without some words": (
        "去掉了最早的几轮，还不够的再去掉一些字"
    ),
    "no baseline: {}": "没有基线：{:zh}",
    "{} needs {}: {}": "{:zh}需要 {}：{}",
    "a chart": "画图",
}

ERRORS = {
    "{}: at step {} the weights are no longer finite": "{}：第 {} 步时权重不再是有限的数",
    "{}: the gradient was not finite in {} steps on end": "{}：梯度连续 {} 步不是有限的数",
    "start anew with --overwrite and a lower --learning-rate": (
        "请用 --overwrite 从头训练，并调低 --learning-rate"
    ),
    "out of memory with {} windows, {} tokens, at once": (
        "内存不足：一次计算 {} 个窗口、{} 个 token"
    ),
    "out of memory with one window of {} tokens": "内存不足：一个窗口就有 {} 个 token",
    "take half of them, --micro-batch-size {}, also with --resume: the result stays the same": (
        "请减半：--micro-batch-size {}，也可以加在 --resume 后面；结果不变"
    ),
    "choose a smaller --size or --context": "请选更小的 --size 或 --context",
    "{}: cannot save ({})": "{}：无法保存（{}）",
    "{}: cannot save: a checkpoint needs {} MB, and {} MB are free": (
        "{}：无法保存：一个检查点需要 {} MB，而磁盘只剩 {} MB"
    ),
    "make room and go on with --resume": "请腾出空间，再用 --resume 恢复训练",
    "what was saved before is still there": "之前保存的还在",
    "{}: cannot be read ({})": "{}：无法读取（{}）",
    "{}: damaged ({})": "{}：已损坏（{}）",
    "step {}: not one token to learn from in its batch": "第 {} 步：这个批次里没有可学的 token",
}
