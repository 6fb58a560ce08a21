"""A small world of children's stories, in Chinese and English, in which every story can be checked.

A language model can be fluent and still lose the thread: a kite is lost and a hat is found. To measure that on a
model trained for one minute, its training text must obey rules that are written down. Here they are: one grammar for
each language, from which `story` writes and against which `check` reads, so that the two cannot disagree.

A grammar is plain text. `@ slots = columns` opens a table; its rows are the values those slots may take, and two slots
of one table never hold the same row (the helper is never the hero). `# plot` opens a plot. `step: sentence` is one
step of it, an indented line is another wording of the same step, `[a|b]` is a choice of words. `{thing}` is the name
of the thing of this story and `{thing.guess}` another column of its row, with a capital letter if the column is
written with one. The steps under `# *` open every plot. All stories are our own writing.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

from xinye.errors import XinyeError

_CHINESE = """
@ hero helper owner friend = name kind trait joy
豆豆 | 小兔 | 一高兴就蹦高 | 一蹦三尺高
憨憨 | 小熊 | 走到哪儿都打哈欠 | 连哈欠都忘了打
米粒 | 小老鼠 | 个子最小，嗓门最大 | 喊得满山都听见了
嘟嘟 | 小猪 | 一天要吃五顿饭 | 说今天要吃六顿饭
旺旺 | 小狗 | 见谁都摇尾巴 | 把尾巴摇成了风车
呱呱 | 小青蛙 | 唱歌总是跑调 | 又唱起了跑调的歌
球球 | 小刺猬 | 走路爱打滚 | 一连打了三个滚
阿石 | 小乌龟 | 走三步就要歇一歇 | 一口气走了十步
圆圆 | 小鸭 | 走路一摇一摆 | 一摇一摆跳起了舞
咪咪 | 小猫 | 一天要洗八回脸 | 又洗了一回脸
松松 | 小松鼠 | 总忘了松果藏在哪儿 | 想起了松果藏在哪儿
朵朵 | 小鹿 | 胆子小，连风声都怕 | 连风声也不怕了
@ time = name later
清早 | 中午 ; 上午 | 下午 ; 中午 | 傍晚 ; 下午 | 晚上 ; 星期六 | 星期天
@ thing = name a guess
风筝 | 一只风筝 | 一只大怪鸟 ; 帽子 | 一顶帽子 | 一朵大蘑菇
围巾 | 一条围巾 | 一条睡着的蛇 ; 小鼓 | 一面小鼓 | 一个南瓜
钥匙 | 一把钥匙 | 一条小银鱼 ; 手套 | 一只手套 | 一只五条腿的螃蟹
茶壶 | 一把茶壶 | 一头长鼻子小象 ; 雨鞋 | 一只雨鞋 | 一条小船
铃铛 | 一个铃铛 | 一颗会唱歌的果子 ; 毛线团 | 一个毛线团 | 一只卷毛小羊
@ place other = name
池塘边 ; 小桥下 ; 村口 ; 山坡上 ; 草地上 ; 水井旁 ; 果园 ; 大树下 ; 小河边 ; 菜地
@ season = name next
春天 | 夏天 ; 夏天 | 秋天 ; 秋天 | 冬天 ; 冬天 | 春天
@ land = name gift use
海边 | 一个贝壳 | 把它贴在耳边，听见了大海的声音 ; 竹林 | 一支竹笛 | 吹了一晚上，谁也没睡着
草原 | 一根羽毛 | 把它插在头上，神气得像大王 ; 茶山 | 一包茶叶 | 泡了一大壶，请大家来喝
小岛 | 一个大瓜 | 抱着它睡了三天，才肯吃 ; 城里 | 一只气球 | 把它系在屋顶，老远就看得见
北方 | 一双红鞋 | 穿上就不肯脱，睡觉也穿着 ; 南方 | 一块圆石头 | 天天给它洗脸
@ elder = name
妈妈 ; 爸爸 ; 奶奶 ; 爷爷
@ shop = name
集市 ; 镇上 ; 小店 ; 桥头
@ food = name cook
面粉 | 包饺子 ; 红豆 | 煮甜汤 ; 蜂蜜 | 烤饼干 ; 大米 | 煮粥
白糖 | 做糖饼 ; 豆腐 | 烧豆腐 ; 花生 | 做点心 ; 土豆 | 烤土豆
@ spot = name
果园 ; 山坡上 ; 后院 ; 小路边 ; 村口 ; 湖边
@ plan = name
野餐 ; 画画 ; 踢球 ; 跳舞 ; 看书 ; 打滚
@ weather = sky season event tool fun stop
雨 | 夏天 | 下起了大雨 | 一把大伞 | 踩水坑 | 雨停了，天边挂着彩虹
雪 | 冬天 | 下起了大雪 | 一顶帽子 | 堆雪人 | 雪停了，雪人还在笑
风 | 春天 | 刮起了大风 | 一只风筝 | 放风筝 | 风停了，风筝慢慢落下来
雾 | 秋天 | 起了大雾 | 一盏灯 | 捉迷藏 | 雾散了，鼻子碰上了鼻子
太阳 | 夏天 | 太阳晒得地都烫脚 | 一个大西瓜 | 吃西瓜 | 太阳下山了，肚子比西瓜还圆
@ tool = name a job result
梯子 | 一把梯子 | 修屋顶 | 屋顶不漏雨了 ; 水桶 | 一只水桶 | 浇花 | 花儿都抬起了头
锄头 | 一把锄头 | 种萝卜 | 萝卜种好了 ; 锤子 | 一把锤子 | 修椅子 | 椅子一点儿也不摇了
剪刀 | 一把剪刀 | 剪窗花 | 窗上开满了红花 ; 扫帚 | 一把扫帚 | 扫院子 | 院子里没有落叶了
大锅 | 一口大锅 | 煮汤 | 满屋子都香了 ; 针 | 一根针 | 补被子 | 被子上的洞不见了
@ treat = name a
蜂蜜 | 一罐蜂蜜 ; 米糕 | 一块米糕 ; 草莓 | 一篮草莓 ; 瓜子 | 一包瓜子 ; 糖果 | 一把糖果 ; 红薯 | 一个红薯
@ fruit = name unit
苹果 | 个 ; 桃子 | 个 ; 梨 | 个 ; 红薯 | 个 ; 草莓 | 颗 ; 野果 | 颗
@ sum = many few total half
三 | 一 | 四 | 两 ; 四 | 两 | 六 | 三 ; 五 | 一 | 六 | 三 ; 五 | 三 | 八 | 四 ; 六 | 两 | 八 | 四
七 | 一 | 八 | 四 ; 六 | 四 | 十 | 五 ; 七 | 三 | 十 | 五 ; 八 | 两 | 十 | 五

# *
meet: {hero.kind}{hero}{hero.trait}。
    有只{hero.kind}叫{hero}，{hero.trait}。

# lost
walk: {time}，{hero}[去了|到过|走过]{other}和{place}。
lost: {time.later}[回家|坐下]一看，[糟了|哎呀]，{thing.a}不见了！
search: {other}的蜗牛[说没看见|还没睡醒|想了半天没想起来]。
clue: {helper.kind}{helper}说：“它在{place}，我还以为是{thing.guess}呢！”
    “{thing}？”{helper.kind}{helper}说，“{place}有，我还当是{thing.guess}！”
found: {hero}赶到{place}，[果然，|你瞧，]{thing}[就在那儿|正等着它]。
    赶到{place}一看，不是{thing.guess}，[是|正是]{hero}的{thing}！
thanks: “谢谢你，{helper}！”{hero}{hero.joy}。
    {hero}谢过{helper}，{hero.joy}。
moral: [两双眼睛比一双看得清|丢了东西别着急，问问朋友]。

# promise
leave: {season}，[好朋友|邻居]{friend.kind}{friend}要去{land}。
ask: “[给我|帮我]带{land.gift}，好吗？”{hero}问。{friend}[点点头|一口答应]。
wait: {hero}从{season}等到{season.next}，[脖子都等长了|真怕它忘了]。
return: [这天|一天晚上]，有人敲门，{friend}从{land}回来了！
bring: “[给你|你看]！”{friend}[拿出|送上]{land.gift}。
use: {hero}{land.use}。
moral: [答应朋友的事，走得再远也记得|记在心里的话，走多远都不会丢]。

# errand
send: {elder}要{food.cook}，[叫|请]{hero}去{shop}买{food}。
chant: {hero}[一路念|边走边念]：“{food}，{food}，{food}。”
forget: [谁知它踩进水坑，|谁知它摔了一跤，|一只鸟落在头上，它]全忘了。
remind: {helper.kind}{helper}说：“是{food}呀，[我都会背了|我都记住了]！”
buy: {hero}[赶紧|赶快]去{shop}买了{food}。
thanks: “谢谢你，{hero}！”{elder}说。
feast: {elder}{food.cook}请客，{helper}也来了，{hero}{hero.joy}。
moral: [记不住的事，朋友帮你记|自己忘了别怕，朋友还记得]。

# weather
plan: {weather.season}，{hero}和{helper.kind}{helper}[约好|一起]去{spot}{plan}。
event: [谁知|可]刚到{spot}，{weather.event}！
sigh: “{weather.sky}这么大，[怎么{plan}呀？|不能{plan}了！]”{hero}[叹了口气|快要哭了]。
idea: {helper}[想了想|笑了]，拿来{weather.tool}：“我们{weather.fun}！”
fun: 它们{weather.fun}，[笑了半天|笑个不停]。{weather.stop}。
joy: {hero}{hero.joy}，约好明天再{plan}。
moral: [好天气要等，好心情自己找|天气会变，快乐不变]。

# borrow
need: {time}，{hero}要{tool.job}，[可是|偏偏]没有{tool}。
lend: {owner.kind}{owner}送来{tool.a}：“[拿去用|尽管用]！”
work: {tool.result}，{hero}[倒头就睡|累得睡着了]。
remind: {time.later}，{helper.kind}{helper}[问|来玩，问]：“这不是{owner}的{tool}吗？”
return: {hero}[脸一红，|赶紧|赶快]把{tool}还给{owner}，送上{treat.a}。
thanks: “{treat}真好吃！”{owner}说，“[天天来借吧|明天再来借]！”
moral: [借来的东西会想家，用完送它回家|有借有还，朋友越来越多]。

# share
pick: {hero}在{spot}找到{sum.many}{fruit.unit}{fruit}，{helper.kind}{helper}只找到{sum.few}{fruit.unit}。
sad: {helper}[低下头，不说话|把篮子藏到身后]。
pour: {hero}把{fruit}[放在一起|放成一堆]：“[你看|数一数]，一共{sum.total}{fruit.unit}！”
split: [它们|两个朋友]坐在{spot}分，一人{sum.half}{fruit.unit}，[不多不少|刚刚好]。
taste: {helper}[吃着说|尝了尝]：“[真怪|咦]，你分给我的{fruit}[更甜|最甜]！”
joy: {hero}[听了|笑了]，{hero.joy}。
moral: [东西分一分，甜味多一分|一个甜分着吃，变成两个甜]。
"""

_ENGLISH = """
@ hero helper owner friend = name kind a he his him trait joy
Pip | rabbit | a rabbit | he | his | him | hopped even in his sleep | hopped right over the fence
Bruno | bear | a bear | he | his | him | yawned all day long | forgot to yawn
Tilly | mouse | a mouse | she | her | her | had tiny paws and a huge voice | cheered until the trees shook
Rosie | pig | a pig | she | her | her | ate five meals a day | asked for a sixth meal
Max | dog | a dog | he | his | him | wagged his tail at everyone | wagged so hard that he fell over
Fern | frog | a frog | she | her | her | sang every song out of tune | sang a happy song out of tune
Hugo | hedgehog | a hedgehog | he | his | him | rolled more than he walked | rolled around three times
Mabel | turtle | a turtle | she | her | her | took a nap after every ten steps | took twenty steps without a nap
Daisy | duck | a duck | she | her | her | wobbled when she walked | danced in a wobbly circle
Oscar | cat | a cat | he | his | him | washed his face eight times a day | washed his face once more
Hazel | squirrel | a squirrel | she | her | her | always forgot where her nuts were | remembered where her nuts were
Otto | owl | an owl | he | his | him | asked why about everything | did not even ask why
@ time = name later
One morning | At noon ; One afternoon | In the evening ; One evening | The next morning
On Monday | On Tuesday ; On Saturday | On Sunday
@ thing = name a guess
kite | a kite | a strange bird ; hat | a hat | a big mushroom ; scarf | a scarf | a sleepy snake
drum | a drum | a pumpkin ; key | a key | a little silver fish ; glove | a glove | a crab with five legs
teapot | a teapot | a tiny elephant ; boot | a boot | a boat ; bell | a bell | a singing berry
umbrella | an umbrella | a sleeping bat
@ place other = name at
the pond | by the pond ; the bridge | under the bridge ; the mill | behind the mill ; the hill | on the hill
the meadow | in the meadow ; the well | beside the well ; the orchard | in the orchard
the oak tree | under the oak tree ; the barn | behind the barn ; the river | by the river
@ season = name next
spring | summer ; summer | autumn ; autumn | winter ; winter | spring
@ land = name gift use
the sea | a shell | heard the waves in it all night ; the forest | a flute | played it all night, and nobody slept
the desert | a jar of sand | held it to the light and saw a hundred stars
the island | a coconut | knocked on it all day to get it open
the city | a balloon | tied it to the roof for all to see
the tea hills | a box of tea | made a big pot for everyone
the grasslands | a feather | wore it all week and felt very grand
the south | an orange | ate it and planted every seed
@ elder = name
Mom ; Dad ; Grandma ; Grandpa
@ shop = name
the market ; the farm ; the fair ; the little shop
@ food = name cook cooked
flour | bake bread | baked bread ; honey | make candy | made candy ; butter | bake cookies | baked cookies
milk | make pancakes | made pancakes ; rice | make porridge | made porridge ; sugar | cook jam | cooked jam
beans | cook soup | cooked soup ; apples | bake a pie | baked a pie
@ spot = name at
the orchard | in the orchard ; the hill | on the hill ; the barn | behind the barn
the lane | by the lane ; the old wall | beside the old wall ; the lake | by the lake
@ plan = name
paint ; have a picnic ; play ball ; read ; jump rope ; play chess
@ weather = sky season event tool fun did stop
rain | summer | it began to rain | a big umbrella | splash in puddles | splashed in puddles | a rainbow came out
snow | winter | it began to snow | an old hat | build a snowman | built a snowman | the snowman smiled
wind | spring | a strong wind blew up | a kite | fly a kite | flew a kite | the wind went to sleep
fog | autumn | a thick fog rolled in | a lantern | play hide-and-seek | played hide-and-seek | they bumped noses
heat | summer | the sun grew very hot | an enormous melon | eat melon | ate melon | the sun went down
@ tool = name a job result
ladder | a ladder | fix the roof | the roof was as good as new
bucket | a bucket | water the flowers | every flower stood up straight
hammer | a hammer | mend a chair | the chair no longer wobbled
broom | a broom | sweep the yard | the yard was clean ; needle | a needle | patch a quilt | the holes were gone
spade | a spade | plant carrots | the carrots stood in a row
brush | a brush | paint the fence | the fence was blue
oil can | an oil can | oil the door | the door stopped squeaking
@ treat = name a
honey | a jar of honey ; cake | a slice of cake ; berries | a bowl of berries
nuts | a bag of nuts ; jam | a pot of jam ; apple pie | an apple pie
@ fruit = name
apples ; pears ; plums ; peaches ; oranges ; cherries ; figs
@ sum = many few total half
three | one | four | two ; four | two | six | three ; five | one | six | three ; five | three | eight | four
six | two | eight | four ; seven | one | eight | four ; six | four | ten | five ; seven | three | ten | five
eight | two | ten | five

# *
meet: There once was {hero.a} [called|named] {hero} who {hero.trait}.
    {hero} the {hero.kind} {hero.trait}.

# lost
walk: {time}, {hero} [went|walked] to {other} and then to {place}.
lost: {time.later}, {hero.he} [cried|gasped], "[Oh no, my|My] {thing} is gone!"
search: {hero} asked a snail {other.at}, but the snail [was fast asleep|is still thinking about it].
clue: "I saw it {place.at}," said {helper} the {helper.kind}. "I thought it was {thing.guess}!"
    "{thing.A}?" said {helper} the {helper.kind}. "I saw it {place.at} and took it for {thing.guess}!"
found: They hurried [back|over], and there {place.at} lay the {thing}.
    It was not {thing.guess} at all! There {place.at} lay the {thing}.
thanks: "Thank you, {helper}!" said {hero}, and {hero.he} {hero.joy}.
    {hero} thanked {helper} and {hero.joy}.
moral: [Two friends can find what one has lost.|When you lose something, ask a friend.]

# promise
leave: In {season}, {hero.his} [friend|neighbor] {friend} the {friend.kind} left for {land}.
ask: "[Please bring|Do bring] me {land.gift}," said {hero}. "I promise," said {friend}.
wait: {hero} waited [by the gate|and waited] from {season} to {season.next}. "Did {friend} forget?" {hero.he} wondered.
return: [One day|Then] there was a knock. {friend} was back from {land}!
bring: "[Here you are|Look]," said {friend}, and {friend.he} [pulled|took] {land.gift} out of {friend.his} bag.
use: {hero} {land.use}.
moral: [A good friend keeps a promise, near or far.|A promise can go a long way and still come home.]

# errand
send: {elder} wanted to {food.cook} and sent {hero} to {shop} for {food}.
chant: "{food.Name}, {food}, {food}," {hero} [sang|said] all the way.
forget: But [a bird sat on {hero.his} head|{hero.he} stepped in a puddle|{hero.he} fell down], and the word was gone.
remind: "It was {food}," [laughed|said] {helper} the {helper.kind}. "Now I cannot stop singing it!"
buy: So {hero} [ran|went] to {shop} and bought {food}.
thanks: "Thank you, {hero}!" said {elder}.
feast: {elder} {food.cooked}, {helper} came to eat, and {hero} {hero.joy}.
moral: [A friend can remember what you forget.|When you forget, ask a friend who remembers.]

# weather
plan: One {weather.season} day, {hero} and {helper} the {helper.kind} went to {spot} to {plan}.
event: [But as|As] soon as they got to {spot}, {weather.event}.
sigh: "[Oh no|Oh dear], such {weather.sky}! Now we cannot {plan}!" [sighed|cried] {hero}.
idea: But {helper} brought {weather.tool}. "[Let us|Then let us] {weather.fun}!" said {helper}.
fun: They {weather.did} [and laughed|and sang] until {weather.stop}.
joy: {hero} {hero.joy}. "We can {plan} tomorrow," {hero.he} said.
moral: [You cannot change the sky, but you can change the plan.|Bad weather can be good fun with a friend.]

# borrow
need: {time}, {hero} wanted to {tool.job} but had no {tool}.
lend: "[Take mine|Use mine]," said {owner} the {owner.kind}, and {owner.he} lent {hero.him} {tool.a}.
work: {hero} worked until {tool.result}, and then {hero.he} fell asleep.
remind: {time.later}, {helper} the {helper.kind} [came by and|looked in and] asked, "Isn't that {owner}'s {tool}?"
return: {hero} [blushed|jumped up] and gave the {tool} back to {owner} with {treat.a}.
thanks: "[Mmm|Oh], {treat}!" said {owner}. "Please borrow something every day!"
moral: [A borrowed thing gets homesick, so take it home.|Give things back with a smile.]

# share
pick: {hero} picked {sum.many} {fruit} {spot.at}, but {helper} the {helper.kind} found only {sum.few}.
sad: {helper} [looked at {helper.his} feet|hid {helper.his} basket] and said nothing.
pour: {hero} put all the {fruit} [in one basket|in a heap]. "[Look|See], now we have {sum.total}!" {hero.he} said.
split: They sat down {spot.at} and shared: {sum.half} for {hero} and {sum.half} for {helper}.
taste: "[How odd|How strange]," said {helper}. "Your {fruit} [taste|are] sweeter than mine!"
joy: {hero} [laughed|smiled] and {hero.joy}.
moral: [Sharing makes sweet things sweeter.|What you share tastes twice as good.]
"""

Row = dict[str, str]
Pattern = tuple[
    re.Pattern[str], list[tuple[str, str]]
]  # the slot and the column of each of its groups

_SLOT = re.compile(r"\{(\w+)\.?(\w*)\}")
_CHOICE = re.compile(r"\[([^]]*)\]")
_MARK = re.compile(r"(\{[^}]*\}|[\[\]|])")


class Mention(NamedTuple):
    """A value that a step of the story gives to a column of a slot."""

    slot: str
    column: str
    value: str
    step: str


@dataclass
class Grammar:
    """The tables and plots of one language, and for each step of a plot the pattern of all it can say."""

    separator: str
    tables: dict[str, list[Row]] = field(default_factory=dict)
    plots: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    patterns: dict[str, dict[str, Pattern]] = field(default_factory=dict)


def story(seed: int, language: str) -> str:
    """The story with this number; the same on every machine."""
    grammar = _grammar(language)
    generator = random.Random(f"{language} {seed}")

    def pick(items: Sequence[Any]) -> Any:
        # `choice` may change from one version of Python to the next; `random` is promised not to.
        return items[int(generator.random() * len(items))]

    steps = grammar.plots[pick(list(grammar.plots))]
    sentences = [
        _CHOICE.sub(lambda choice: pick(choice[1].split("|")), pick(wordings))
        for wordings in steps.values()
    ]
    bound: dict[str, Row] = {}

    def fill(mention: re.Match[str]) -> str:
        slot, column = mention.groups()
        if slot not in bound:
            taken = list(bound.values())
            bound[slot] = pick(
                [row for row in grammar.tables[slot] if not any(row is other for other in taken)]
            )
        return _value(bound[slot], column)

    return _SLOT.sub(fill, grammar.separator.join(sentences))


def stories(count: int, language: str, seed: int = 0) -> list[str]:
    """This many different stories; another seed gives another collection."""
    found: dict[str, None] = {}
    number = seed * 2**32
    while len(found) < count:
        found[story(number, language)] = None
        number += 1
    return list(found)


def check(text: str, language: str) -> str | None:
    """None when the text is a whole and consistent story of this world, else the first thing that is wrong."""
    grammar = _grammar(language)
    text = text.strip() + grammar.separator
    # A broken story is read as the plot that most of its sentences belong to.
    plot = max(
        grammar.patterns,
        key=lambda plot: sum(
            bool(pattern.search(text)) for pattern, _ in grammar.patterns[plot].values()
        ),
    )
    mentions: list[Mention] = []
    position = 0
    for step, (pattern, slots) in grammar.patterns[plot].items():
        match = pattern.match(text, position)
        if match is None:
            return _unexplained(grammar, plot, step, text[position:].strip())
        pairs = zip(slots, match.groups(), strict=True)
        mentions += [
            Mention(slot, column, value, step)
            for (slot, column), value in pairs
            if value is not None
        ]
        position = match.end()
    if rest := text[position:].strip():
        return f"the story goes on after its moral: {rest[:80]}"
    return _disagreement(grammar, mentions)


def _unexplained(grammar: Grammar, plot: str, expected: str, rest: str) -> str:
    """Why the rest of the text does not go on with the step that this plot expects."""
    if not rest:
        return f"the story stops before {expected!r}"
    # First this plot, then the others: a sentence that many plots share is misplaced rather than foreign.
    for other in sorted(grammar.patterns, key=lambda other: other != plot):
        for step, (pattern, _) in grammar.patterns[other].items():
            if match := pattern.match(rest + grammar.separator):
                where = "" if other == plot else f" of the plot {other!r}"
                return f"{expected!r} of the plot {plot!r} expected, {step!r}{where} found: {match[0].strip()}"
    return f"{expected!r} of the plot {plot!r} expected, found: {rest[:80]}"


def _disagreement(grammar: Grammar, mentions: list[Mention]) -> str | None:
    """The first mention that no row of its table can share with the mentions before it."""
    possible = dict(grammar.tables)
    for index, mention in enumerate(mentions):
        rows = [
            row for row in possible[mention.slot] if _value(row, mention.column) == mention.value
        ]
        if not rows:
            earlier = [other for other in mentions[:index] if other.slot == mention.slot]
            sharing = [
                row
                for row in grammar.tables[mention.slot]
                if _value(row, mention.column) == mention.value
            ]
            # Blame the first it contradicts; where only all together do (a sum and its two numbers), blame them all.
            blamed = [
                m for m in earlier if all(_value(row, m.column) != m.value for row in sharing)
            ][:1] or earlier
            said = ", ".join(f"{m.value} ({m.step})" for m in blamed)
            return f"{mention.slot}: {said}, but {mention.value} ({mention.step})"
        possible[mention.slot] = rows
    slots = list(dict.fromkeys(mention.slot for mention in mentions))
    for first, second in combinations(slots, 2):
        if possible[first][0] is possible[second][0]:
            return f"{first} and {second} are both {_value(possible[first][0], '')}"
    return None


def _value(row: Row, column: str) -> str:
    """A cell of the row, the first one by default; a column with a capital letter gives the cell one too."""
    cell = row[column.lower()] if column else next(iter(row.values()))
    return cell[0].upper() + cell[1:] if column[:1].isupper() else cell


@lru_cache
def _grammar(language: str) -> Grammar:
    """The tables and plots of a language as written above, and the patterns that follow from them."""
    if language not in ("zh", "en"):
        raise XinyeError(f"there are no stories in the language {language!r}: choose zh or en")
    grammar = Grammar(separator="" if language == "zh" else " ")
    step, steps, rows = "", dict[str, list[str]](), list[Row]()
    for line in (_CHINESE if language == "zh" else _ENGLISH).splitlines():
        if line.startswith("@ "):
            slots, columns = (names.split() for names in line[2:].split(" = "))
            rows = []
            grammar.tables |= dict.fromkeys(slots, rows)
        elif line.startswith("# "):
            steps = grammar.plots[line[2:]] = dict(grammar.plots.get("*", {}))
        elif line.startswith("    "):
            steps[step].append(line.strip())
        elif line and grammar.plots:
            step, wording = line.split(": ", 1)
            steps[step] = [wording]
        elif line:
            rows += [dict(zip(columns, row.split(" | "), strict=True)) for row in line.split(" ; ")]
    del grammar.plots["*"]
    for plot, steps in grammar.plots.items():
        grammar.patterns[plot] = {
            step: _pattern(grammar, wordings) for step, wordings in steps.items()
        }
    return grammar


def _pattern(grammar: Grammar, wordings: list[str]) -> Pattern:
    """What matches each wording with any value of its table in each slot."""
    slots: list[tuple[str, str]] = []
    pieces = []
    for token in _MARK.split(f"[{'|'.join(wordings)}]{grammar.separator}"):
        if slot := _SLOT.fullmatch(token):
            slots.append((slot[1], slot[2]))
            values = {_value(row, slot[2]) for row in grammar.tables[slot[1]]}
            # The longest first, so that a value is not taken for a shorter one that it begins with.
            pieces.append(
                f"({'|'.join(re.escape(value) for value in sorted(values, key=len, reverse=True))})"
            )
        else:
            pieces.append({"[": "(?:", "]": ")", "|": "|"}.get(token) or re.escape(token))
    return re.compile("".join(pieces)), slots
