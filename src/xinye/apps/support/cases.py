"""Answers that hold for one customer only: "It will be with you tomorrow"."""

import re

_NAMED_ZH = (  # what customers have, whose state only an employee can look up
    r"(?:订单|单子|包裹|快[递件]|物流|货|退款|账[号户]|会员|等级|积分|余额|优惠券|发票|预约|申请"
    r"|邮件|投诉|工单|套餐|号)"
)
_NAMED_EN = (
    r"(?:orders?|parcels?|packages?|deliver(?:y|ies)|shipments?|refunds?|returns?|accounts?|bill"
    r"|membership|points|balance|vouchers?|coupons?|invoices?|bookings?|appointments?|class"
    r"|repairs?|applications?|complaints?|tickets?|payments?|replacements?)"
)
_DONE_ZH = (
    r"(?:[发寄送][出到]|补[发寄]|退[回款]|到[账货]|签收|改好|修好|取消|催|处理好|解[锁冻]|通过|登记"
    r"|备注|核实|联系|反馈|提交|查[到询过]|收到|打包|出库|揽收)"
)
_DONE_EN = (
    r"(?!need|speed|exceed|proceed|feed|reduced|discounted|included)(?:\w{2,}ed|sent|made|found|taken|done|told|spoken|given|got|gone|left|kept|written|put|took"
    r"|gave|spoke|wrote)"
)
# Such an answer tells what was done, or how something is now.
_TOLD_ZH = re.compile(
    r"(?:已经?|刚刚?)(?![拆开])[^，。；！？\n的后请需时不可无]{1,16}(?=$|[，。；！\n])"
    r"|(?:[给为替帮][您你]|这边|我们?(?!觉得|建议|推荐|就))[^，。；！？\n的]{1,16}了(?![^，。；！？\n]{0,9}[的吗])"
    rf"|(?:^|[，。；！])(?:好的?)?{_DONE_ZH}了(?=$|[，。；！])"
    r"|[今昨明后]天|(?<!提)前天|今晚|[明今]早|昨晚|刚才|正在(?:处理|核实|派|联系|打包|审核|运|维修)"
    r"|派[送件]中|运输中|在路上|还在(?:仓库|审|复审|处理|排队)|跟\w{1,4}说了|师傅已|现已"
    r"|(?:^|[，。；！已])(?:到|抵达)[^，。；！？\n的期]{2,8}(?:了(?=$|[，。；！])|分拨|中转|网点|驿站)"
    r"|[您你]这[单笔个]|这[单笔](?:还|已|是|在)|[您你](?:现在|目前|当前|本月|上月|上次)"
    r"|[您你][约订考买拍付](?:的|了)|[您你]消费了|[您你](?:还|只)?[有剩差]\d|[您你]还剩"
    r"|(?:师傅|快递员|司机|工程师|仓库)(?!会|一般|通常)[^，。；！？\n会后前]{0,10}(?:到|来|联系|堵|签收|出发|说)(?!后|前)"
    rf"|[您你]的{_NAMED_ZH}(?:[^，。；！？\n]{{0,16}}了(?=$|[，。；！])|[^，。；！？\n]{{0,6}}(?:已|正|还在|因))"
)
_TOLD_EN = re.compile(
    rf"\b(?:I|we)(?:['’]ve| have) (?:just |already |now )?{_DONE_EN}\b"
    rf"|\b(?:I|we) (?:just |already )?{_DONE_EN}\b|\bI(?:['’]ll| will)\b"
    rf"|\b(?:has|have|was|were|is|are) (?:just |already |now |been )+{_DONE_EN}\b"
    r"|\b(?:it|he|she|they) (?:was|left|arrived|came|told|went|has)\b"
    rf"|\byour {_NAMED_EN} (?:is|are|has|was|were|left|will|should|went|came|expired)\b"
    r"|\b(?:today|yesterday|tomorrow|tonight|this (?:morning|afternoon|evening)|just now)\b"
    r"|\b(?:on (?:the|its|his|her) way|is still|under review|out for delivery)\b"
    r"|\byou (?:passed|owe|ordered|booked|are (?:a|in the)|have [\d,.]+ points)\b"
    r"|\b(?:he|she) (?:is|will)\b|\byou (?:still )?have \d+ \w+ left\b|^(?:all )?done\b",
    re.IGNORECASE,
)
# What holds under a condition holds for others, too.
_IF = re.compile(
    r"[^，。；！？\n]{0,60}(?:如果|如[需有]|若|要是|一旦|假如|只要|凡是|是否|的话)[^，。；！？\n]{0,60}"
    r"|\b(?:if|when|once|after|until|unless|as soon as|before) (?:you|we|it|they|the|your|an?|I)\b"
    r"[^.;!?,]*",
    re.IGNORECASE,
)
# What is so already holds for others, too ("已经是最低价了"), unless it is the customer's, or work.
_SO = re.compile(
    r"(?:^|(?<=[，。；！？\n]))[^，。；！？\n您你单件裹递款货]{0,8}已经?"
    r"(?:是|有(?!人|专人|同事|师傅|快递|司机))[^，。；！？\n]{0,16}"
)
# Such a question asks how something of the customer is now …
_STATE = re.compile(
    r"(?<![帮给])我[^，。；！？\n怎想帮把可能]{1,12}(?:[了过]吗|了没有?|到哪|没有(?=\W*$))"
    rf"|(?:查|催)(?:一?下|一查)[^，。；！？\n]{{0,6}}{_NAMED_ZH}"
    rf"|{_NAMED_ZH}[^，。；！？\n怎]{{0,8}}(?:到哪|还没|没[到动收发])|还没(?:发|到|退|收|给|寄|送)|怎么还[不没]"
    rf"|我的?{_NAMED_ZH}呢(?=\W*$)|单号(?:是?(?:多少|几)(?![位个])|呢|发我|发一下)"
    r"|\[[^\[\]]{1,16}\d+\]"
    r"|\bwhy (?:was|were) my\b|\bstill (?:isn't|hasn't|haven't)\b"
    r"|^\W*(?:did|has|have|was|were) my\b"
    r"|\bwhere(?: is|'s) my (?:order|parcel|package|refund)(?=\W*$)"
    r"|\bis my\b[^.!?]{1,20} (?:ready|done|repaired|finished|here|there)\b"
    r"|\bmy\b[^.!?]{1,30}\b(?:hasn't|haven't|isn't here|has not)\b",
    re.IGNORECASE,
)
# … and one of these tells of the customer,
_OWN = re.compile(
    r"我(?:的|家|这|那|刚|昨天|前天|上周|今天|买|拍|订|下单|约|预约|申请|寄|付|退)|[帮给]我(?:[退改催补开取备]|单独)|上次|刚才"
    r"|没收到|[少漏错]发|拍错|多扣|[扣付]了?两次|碎了|坏了[一两]个|没了|便宜点|什么时候到(?=\W*$)"
    r"|\bmy\b|\b(?:did|have|do) you (?:get|got|have my|received?|find|found)\b"
    r"|\bcall me\b"
    r"|\bI (?:was|have|left|ordered|bought|sent|paid|returned)\b|\bI['’]ve\b"
    r"|\border (?:no|#)?\W*\d",
    re.IGNORECASE,
)
# … to which one of these is an answer about that customer.
_TO_CUSTOMER = re.compile(
    r"预计|[给为帮替][您你](?!推荐|介绍|找|搜)|[您你](?:的|小区|家|这|那)|\d{1,2}月\d{1,2}[日号]"
    r"|[上下]午[一二三四五六七八九十\d]+点"
    r"|(?<!可以)(?<![行好])了(?=$|[，。！\d])"
    r"|\bwe(?:['’]ll| will)\b|\b(?:he|she|they) (?:will|is|are)\b|\bwe are \w+ing\b|\bMrs?\b|\bMs\b"
    r"|\byour \w+ (?:is|was|has|are)\b|\b(?:on|by) (?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
    r"|\b(?:should|will) be (?:there|with you|here)\b"
    r"|\bat your\b|\bwith your neigh|\bsince\b|\bfor you\b",
    re.IGNORECASE,
)


# A wish for something that only an employee can do, at the beginning of a clause …
_WISH = re.compile(
    r"\s*(?:(?:你们?|您)?(?:能不能|可不可以|可以|能)?(?:(?:请|麻烦)(?:你们?|您)?(?:[帮给替]我)?|[帮给替]我)"
    r"(?:再|先|尽快|赶紧|重新)?(?:把.{1,12}?)?|把.{1,12}?)"
    r"(?:[退换催修]|改(?!善)|补(?!充)|查(?!看|收)|更[改换]|取消|撤销|备注|登记|合并|重[发寄]|加急|处理|核实|开.{0,4}发票)"
    r"|\s*(?:(?:hi|hello|hey|ok|so|and) )?(?:(?:please|kindly|(?:can|could|would|will) you) ){0,3}"
    r"(?:cancel|change|refund|resend|replace|exchange|check|look up|look into|update|correct|track)"
    r" (?:my|me|it|(?:this|the) order)\b",
    re.IGNORECASE,
)
# … which does not ask how or whether.
_ASKS_HOW = re.compile(
    r"[怎谁哪几]|多[少久长]|什么|如何|是否|流程|政策|规则|条件|运费|[退换]货?地址"
    r"|^(?!.{0,2}[能可]).*吗|\b(?:if|how|when|where|what|whether|after|policy|fees?)\b",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"[^，。；！？,.;!?\n]+")


# Something that was bought is broken.
_BROKEN = re.compile(
    r"(?:坏|碎|裂|破|断|漏)[了掉]|漏[水电油]|不能用了|用不了|没反应|冒烟|有异味"
    r"|\b(?:is|are|has|it's|came|arrived|got) (?:\w+ )?(?:broken|leaking|cracked|damaged|smashed)\b"
    r"|\b(?:stopped working|does(?:n't| not) work|fell apart)\b",
    re.IGNORECASE,
)


def asks_employee(message: str) -> bool:
    """True if a customer wants to know or to have what only an employee can look up or do, or says
    that something is broken.

    >>> asks_employee("给我改一下地址"), asks_employee("怎么改地址？")
    (True, False)
    """
    return bool(asks_state(message) or _BROKEN.search(message)) or any(
        _WISH.match(clause) and not _ASKS_HOW.search(clause) for clause in _CLAUSES.findall(message)
    )


def asks_state(question: str) -> bool:
    """True if a customer asks how something of theirs is now, which only an employee can look up.

    >>> asks_state("我的包裹到哪了？"), asks_state("怎么查物流？")
    (True, False)
    """
    return bool(_STATE.search(question))


def case_signs(question: str, answer: str) -> int:
    """How strongly an answer seems to hold for the customer who asked only, because it says what
    was done for that customer, or how an order, a parcel or an account of theirs is: 0 (not at
    all), 1 or 2.

    >>> case_signs("包裹到哪了？", "明天派送。"), case_signs("怎么查物流？", "点“物流”。")
    (2, 0)
    """
    answer = _SO.sub("", answer)
    said = _IF.sub("", answer)
    told = bool(_TOLD_ZH.search(said) or _TOLD_EN.search(said))
    state = asks_state(question)
    own = state or bool(_OWN.search(question))
    if told or state:
        return 1 + (told and own)
    return int(own and bool(_TO_CUSTOMER.search(answer)))
