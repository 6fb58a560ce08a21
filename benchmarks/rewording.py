"""Rewords questions of a developers' forum by hand-made rules: the questions of `support.py`.

Nothing that is trained may use these rules.
"""

import random
import re
from collections.abc import Callable, Sequence
from functools import cache

FEWEST, MOST = 3, 6  # rules that change one question

FRAMES = (
    ("请问一下，", ""), ("大神们好，", ""), ("新手求教：", ""), ("", "，谢谢各位"), ("", "，在线等，急"),
    ("有没有人知道", ""), ("各位前辈，", "，求指点"), ("我想了解下", ""), ("遇到个情况，", ""),
    ("老师好，", "，应该怎么弄"), ("", "，有人碰到过没"), ("麻烦帮忙看看，", ""),
)  # fmt: skip
SYNONYMS = (
    ("怎么", "如何", "咋", "怎样"), ("为什么", "为何", "为啥"), ("无法", "不能", "没法", "没办法"),
    ("报错", "出错", "提示错误"), ("删除", "移除", "去掉"), ("获取", "得到", "拿到", "取得"),
    ("显示", "展示", "呈现"), ("加载", "载入", "读取"), ("打包", "打成安装包"), ("创建", "新建", "生成"),
    ("使用", "用", "运用"), ("修改", "更改", "改动"), ("设置", "设定", "配置"), ("支持", "兼容"),
    ("失败", "不成功"), ("黑屏", "画面全黑"), ("点击", "点按", "触碰"), ("哪里", "哪儿", "什么地方"),
    ("问题", "毛病", "疑问"), ("更新", "升级"), ("调用", "执行"), ("区别", "不同", "差别"),
    ("下载", "拉取"), ("游戏", "小游戏"), ("实现", "做到"), ("解决", "搞定", "处理"),
    ("发布", "上线"), ("项目", "工程"), ("位置", "坐标"), ("大小", "尺寸"), ("手机", "移动设备"),
    ("浏览器", "网页"), ("卡", "不流畅"), ("编译", "构建"), ("安装", "装"), ("传递", "传"),
    ("找不到", "没找到", "缺少"), ("没有", "无"), ("错误", "异常"), ("监听", "侦听"),
    ("判断", "检测"), ("停止", "中止"), ("屏幕", "画面"), ("背景", "底图"), ("关闭", "关掉"),
)  # fmt: skip
TERMS = (
    ("egret", "白鹭"), ("android", "安卓"), ("ios", "苹果系统"), ("button", "按钮"), ("list", "列表"),
    ("scroller", "滚动条"), ("movieclip", "帧动画"), ("tween", "缓动"), ("bitmap", "位图"),
    ("image", "图片"), ("sprite", "精灵"), ("textfield", "文本框"), ("label", "标签"),
    ("group", "分组"), ("stage", "舞台"), ("event", "事件"), ("dragonbones", "龙骨"),
    ("texture", "纹理"), ("sound", "声音"), ("touch", "触摸"), ("demo", "示例"), ("api", "接口"),
    ("bug", "缺陷"), ("web", "网页"), ("native", "原生"), ("mask", "遮罩"), ("shader", "着色器"),
    ("socket", "套接字"), ("server", "服务器"), ("flash", "闪客"), ("progressbar", "进度条"),
    ("particle", "粒子"), ("container", "容器"), ("loading", "加载页"), ("alpha", "透明度"),
)  # fmt: skip
DROPPED = (
    "请问",
    "关于",
    "一个",
    "一下",
    "的时候",
    "的",
    "了",
    "在",
    "中",
    "里",
    "有",
    "是",
    "吗",
    "呢",
    "啊",
)
COMMON = (
    "的一是了不在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能好都然没日于起还发成事只作当想看文无开手用主行方"
    "又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位因重被走电"
    "四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼体别处总才场师书比住员九笑性通目华报立马命张活难神数件安表原车白应路期叫死常"
    "提感金何更反合放做系计或司利受光王果亲界及今京务制解各任至清物台象记边共风战干接它许八特觉望直服毛林题建南度统色字请交爱让认算论百吃义科怎元社术结六功指思非流"
    "每青管夫连远资队跟带花快条院变联言权往展该领传近留红治决周保达办运武半候七必城父强步完革深区即求品士转量空甚众技轻程告江语英基派满式李息写呢识极令黄德收脸钱党"
    "倒未持取设始版双历越史商千片容研像找友孩站广改议形委早房音火际则首单据导影失拿网香似斯专石若兵弟谁校读志飞观争究包组造落视济喜离虽坐集编宝谈府拉黑且随格尽剑讲"
    "布杀微怕母调局根曾准团段终乐切级克精哪官示冲竟乎男举客证苦照注费足尔招群热推晚响称兴待约阳哥惊吗整支古汉突号绝选吧参刊亚复伤类备欢另港势刻星断陈掌农夜般念价脑"
    "规底故省妈刚句显消衣陆器确破具居批送泪虑负劳验"
)  # fmt: skip

Rule = Callable[[str, random.Random], str]


def reworded(question: str, rng: random.Random) -> str:
    """A question that three to six of the rules have changed, or all that can."""
    wanted = rng.randint(FEWEST, MOST)
    rules = [*RULES]
    rng.shuffle(rules)
    changed = 0
    for rule in rules:
        new = rule(question, rng)
        changed += new != question
        question = new
        if changed == wanted:
            break
    return question


def frame(text: str, rng: random.Random) -> str:
    before, behind = rng.choice(FRAMES)
    return before + text.strip("？?！!。.") + behind


def synonyms(text: str, rng: random.Random) -> str:
    """Up to three words in place of others with the same meaning."""
    there = [
        (word, group) for group in SYNONYMS for word in group if word in text and len(word) > 1
    ]
    for word, group in rng.sample(there, min(3, len(there))):
        text = text.replace(word, rng.choice([other for other in group if other != word]), 1)
    return text


def terms(text: str, rng: random.Random) -> str:
    """Up to two English terms in Chinese, or the other way."""
    there = []
    for english, chinese in TERMS:
        if re.search(rf"(?<![a-z]){english}(?![a-z])", text, re.IGNORECASE):
            there.append((rf"(?<![A-Za-z]){english}(?![A-Za-z])", chinese))
        elif chinese in text:
            there.append((chinese, english))
    for pattern, new in rng.sample(there, min(2, len(there))):
        text = re.sub(pattern, new, text, count=1, flags=re.IGNORECASE)
    return text


def dropped(text: str, rng: random.Random) -> str:
    """Up to two function words left out."""
    there = [word for word in DROPPED if word in text and len(text) > len(word) + 4]
    for word in rng.sample(there, min(2, len(there))):
        text = text.replace(word, "", 1)
    return text


def order(text: str, rng: random.Random) -> str:
    """The clauses the other way round, or what stands before 的 behind what follows it."""
    clauses = [part for part in re.split(r"[，,。；;？?！!\s]+", text) if part]
    if len(clauses) > 1:
        at = rng.randrange(1, len(clauses))
        return "，".join(clauses[at:] + clauses[:at])
    before, found, behind = text.partition("的")
    return f"{behind}，{before}" if found and before and behind else text


def typos(text: str, rng: random.Random) -> str:
    """A character for another of the same sound, or two letters of a word exchanged."""
    places = [at for at, sign in enumerate(text) if len(_same_sound().get(_sound(sign), "")) > 1]
    for at in rng.sample(places, min(len(places), 1 + len(text) // 15)):
        others = [sign for sign in _same_sound()[_sound(text[at])] if sign != text[at]]
        text = text[:at] + rng.choice(others) + text[at + 1 :]
    words = [found for found in re.finditer(r"[A-Za-z]{5,}", text)]
    if words and rng.random() < 0.5:
        found = rng.choice(words)
        at = rng.randrange(found.start() + 1, found.end() - 1)
        text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text


RULES: Sequence[Rule] = (frame, synonyms, terms, dropped, order, typos)


@cache
def _sound(sign: str) -> str:
    from pypinyin import lazy_pinyin

    return str(lazy_pinyin(sign)[0]) if "\u4e00" <= sign <= "\u9fff" else ""


@cache
def _same_sound() -> dict[str, str]:
    found: dict[str, str] = {}
    for sign in dict.fromkeys(COMMON):
        found[_sound(sign)] = found.get(_sound(sign), "") + sign
    found.pop("", None)
    return found
