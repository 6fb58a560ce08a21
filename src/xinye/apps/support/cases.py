"""Answers that are true for one customer only: "It will be with you tomorrow.\""""

import re

# What is a customer's own, and has a state that only an employee can look up.
_THINGS_ZH = (
    r"(?:订单|单子|包裹|快递|快件|物流|货|退款|退货|换货|售后|账[号户]|会员|等级|积分|余额|优惠券|发票|预约|申请|邮件|投诉|工单|维修|地址)"
)
_THINGS_EN = (
    r"(?:orders?|parcels?|packages?|deliver(?:y|ies)|shipments?|refunds?|returns?|exchanges?"
    r"|accounts?|membership|points|balance|vouchers?|coupons?|invoices?|bookings?|appointments?"
    r"|class|repairs?|applications?|e-?mails?|complaints?|tickets?|cases?|payments?|replacements?)"
)
_DONE_ZH = (
    r"(?:发[出货放到往]|寄[出到]|补[发寄]|退[回款到还]|到账|签收|派[送件]|送[到达]|到达|改[好成到为]|修[好改]|取消|催|处理"
    r"|解[锁冻]|开[好具出]|审核通过|通过|登记|安排|备注|申请|核实|联系|反馈|提交|记录|受理|查到|收到|放[在到]|重发|打包|出库|揽收|关闭|注销|延长|更新)"
)
_DONE_EN = (
    r"(?:sent|shipped|posted|e?-?mailed|mailed|refunded|returned|changed|cancell?ed|added|unlocked"
    r"|reset|checked|asked|told|updated|moved|approved|received|arrived|delivered|dispatched"
    r"|repaired|finished|charged|booked|reserved|arranged|forwarded|extended|removed|fixed"
    r"|corrected|noted|issued|credited|replaced|contacted|called|spoken|looked|found|put|made"
    r"|expired|left|collected|reported|opened|closed|processed|paid|transferred|merged)"
)
# An answer with one of these tells what was done, or how something is now.
_TOLD = re.compile(
    rf"(?:已经?|刚刚?)[^，。；！？\n]{{0,12}}?{_DONE_ZH}[^，。；！？\n的后]{{0,8}}(?:了|$|[，。；！])"
    rf"|[给为替帮][您你][^，。；！？\n]{{0,12}}?{_DONE_ZH}[^，。；！？\n的后]{{0,8}}了"
    rf"|(?:^|[，。；！])(?:好的?，?)?{_DONE_ZH}了(?=$|[，。；！])"
    r"|(?:今天|昨天|明天|后天|前天|今晚|明早|今早|昨晚|刚才|刚刚查|这会儿?|目前在|现在在)"
    r"|正在(?:处理|核实|派[送件]|联系|打包|审核|运输|赶来|维修)|派[送件]中|运输中|在路上|还在仓库"
    r"|(?:到|抵达)(?!期)[^，。；！？\n的]{2,8}(?:了(?=$|[，。；！])|分拨|中转|转运|集散|网点|驿站)"
    r"|[您你]这(?:单|笔|个(?:订单|包裹|快递))|这[单笔](?:还|已|是|在)|[您你](?:现在|目前|当前)是|[您你]约的是?|[您你]有[\d\[]"
    rf"|[您你]的{_THINGS_ZH}[^，。；！？\n]{{0,16}}(?:了(?=$|[，。；！])|已|正|还在)"
    rf"|\b(?:I|we)(?:'ve|’ve| have)? (?:just |already |now )?{_DONE_EN}\b"
    rf"|\b(?:it|he|she|they) (?:is|has|was) (?:just |already |now |been )*{_DONE_EN}\b"
    rf"|\b(?:has|have|was|were|is|are) (?:just |already |now |been )+{_DONE_EN}\b"
    rf"|\byour {_THINGS_EN} (?:is|are|has|was|were|left|will|should|went|came|expired)\b"
    r"|\b(?:today|yesterday|tomorrow|tonight|this (?:morning|afternoon|evening)|just now)\b"
    r"|\b(?:still on its way|on its way to|is on its way|out for delivery)\b"
    r"|\byou (?:are a \w+ member|have [\d,.]+ points)\b"
    r"|^(?:done|all done)\b",
    re.IGNORECASE,
)
# What holds under a condition holds for others, too.
_IF = re.compile(
    r"[^，。；！？\n]*(?:如果|如[需有]|若|要是|一旦|假如|只要|凡是|是否|的话)[^，。；！？\n]*"
    r"|\b(?:if|when|once|after|until|unless|as soon as|before) (?:you|we|it|they|the|your|an?|I)\b"
    r"[^.;!?,]*",
    re.IGNORECASE,
)
# A question with one of these asks about a customer's own case …
_ASKS_OWN = re.compile(
    rf"[我俺](?:[的这那个刚才昨天前天上周今天买拍订下单约申请寄付退换在你们家]){{1,8}}[^，。；！？\n]{{0,8}}{_THINGS_ZH}"
    rf"|{_THINGS_ZH}[^，。；！？\n]{{0,8}}(?:到哪|还没|没[到动收发有]|不对|[了好过]吗|[了好]没)"
    r"|(?:查|催|看)(?:一?下|一查)[^，。；！？\n]{0,8}(?:单|快递|包裹|物流|发货|货|件)|催发货"
    r"|还没(?:发|到|退|收|给|寄|送)|没收到|[少漏错]发了?|拍错|发错|多扣|扣了?两次|付了两次|碎了|坏了[一两]个"
    r"|\[[^\[\]]{1,16}\d+\]|什么时候(?:给我|到(?=[？?\W]*$))|[了过]吗[？?\W]*$|便宜点|不见了|没了"
    rf"|\bmy (?:\w+ )?{_THINGS_EN}(?! confirm)\b|\b(?:did|have) you (?:got|get|receive|received|have)\b"
    r"|\bI (?:was|have been|'ve been) |\bI(?:'ve| have)? (?:ordered|bought|sent|paid|returned)\b"
    r"|\b(?:arrived|came) (?:broken|damaged)\b|\bis missing\b(?!.*\bwhat (?:now|if|do))|\bcall me\b|\bhave you\b|\bcancel order\b"
    r"|\border (?:no|number|#)?\.? ?[\d\[]",
    re.IGNORECASE,
)
# … and an answer with one of these is about a customer.
_TO_CUSTOMER = re.compile(
    r"预计|[给为帮替][您你]|[您你](?:的|小区|家里?|这|那|现在|约|有)|\d+月\d+[日号]|[上下]午[一二三四五六七八九十\d]+点|周[一二三四五六日天]"
    r"|\b(?:I|we)(?:'ll|’ll| will)\b|\b(?:he|she|they) (?:will|left|is|are)\b|\bwill call you\b|\bwe are \w+ing\b|\b(?:Mr|Mrs|Ms|Miss)\b"
    r"|\byour\b|\b(?:on )?(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
    r"|\bon \d{1,2} (?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)",
    re.IGNORECASE,
)


def case_signs(question: str, answer: str) -> int:
    """How strongly an answer seems to hold for the customer who asked only, because it says what
    was done for that customer, or how an order, a parcel or an account of theirs is: 0 (not at
    all), 1 or 2.

    >>> case_signs("我的包裹到哪了？", "到杭州了，明天派送。"), case_signs("怎么查物流？", "在“我的订单”里查。")
    (2, 0)
    """
    told = bool(_TOLD.search(_IF.sub("", answer)))
    asked = bool(_ASKS_OWN.search(question))
    return told + asked if told else int(asked and bool(_TO_CUSTOMER.search(answer)))
