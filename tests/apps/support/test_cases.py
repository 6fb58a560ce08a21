"""Answers to one customer's case are told from answers for everybody, and what only an employee can
look up or do from other questions."""

import pytest

from xinye.apps.support.cases import asks_employee, case_signs


@pytest.mark.parametrize(
    ("question", "answer", "signs"),
    [
        ("我的包裹到哪了", "到杭州了，明天派送。", 2),
        ("订单什么时候发货", "您的订单今天下午已发出。", 1),
        ("少发了一个盖子", "这边给您补寄，单号稍后发您。", 1),
        ("我预约的茶艺课是几点", "您约的是周六下午两点。", 2),
        ("订单什么时候发货", "下午四点前付款的当天发货。", 0),
        ("包裹丢了怎么办", "请联系我们，三天内给您补发或者退款。", 0),
        ("已经拆封的茶叶能退吗", "已拆封的茶叶不能退换。", 0),
        ("我的优惠券怎么用不了", "优惠券要满100元才能用。", 0),
        ("Where is my parcel?", "It is still on its way and will come tomorrow.", 2),
        ("I can't log in", "I have unlocked your account.", 1),
        ("My parcel isn't here", "The driver left it at your neighbour's.", 1),
        ("How long does a repair take?", "About two weeks after we have received it.", 0),
        ("Where is my order confirmation?", "We send it by e-mail within an hour.", 0),
        ("Can I collect my order?", "Yes, from our shop on weekdays after 2 pm.", 0),
        ("能便宜点吗", "亲，已经是活动价啦。", 0),
        ("可以便宜点吗", "我们这已经是最低价了，不能再少了哦", 0),
        ("有没有优惠券", "店铺首页已有优惠券了，领了再下单。", 0),
        ("我的会员是几级", "您已经是金卡会员了。", 2),
        ("我的退款呢", "已有同事在处理了。", 2),
        ("Is there a discount?", "The price is already reduced.", 0),
        ("预约要提前多久", "提前天数不限。", 0),
        ("How do I return something?", "We need the receipt.", 0),
    ],
)
def test_signs_of_a_case(question, answer, signs):
    assert case_signs(question, answer) == signs


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("能帮我改地址吗", True),
        ("填错了，请把地址改成北京", True),
        ("麻烦你们催一下快递", True),
        ("快递单号是多少", True),
        ("Hi, please cancel my order", True),
        ("Please refund me", True),
        ("麻烦说下退款流程", False),
        ("请告知退货地址", False),
        ("你们帮我退货运费谁出", False),
        ("你们会给我退运费", False),
        ("快递单号是几位", False),
        ("Can you refund my shipping if I return a cup?", False),
        ("Can I cancel my order?", False),
    ],
)
def test_what_only_an_employee_can_do(message, wanted):
    assert asks_employee(message) is wanted
