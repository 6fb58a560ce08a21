"""Finds the columns of events and items: as a person named them, or by their usual names."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

from xinye.data.columns import find_column
from xinye.errors import XinyeError, did_you_mean
from xinye.planning.column_settings import ColumnSettings, at_commas
from xinye.tasks.message_times import DAYS

USERS = (
    "user", "user_id", "userid", "uid", "customer", "customer_id", "customerid", "member",
    "member_id", "visitor", "visitor_id", "visitorid", "client_id", "reader", "reader_id",
    "reviewerid", "session", "session_id", "sessionid", "用户", "用户id", "用户编号", "用户名",
    "会员", "会员id", "会员编号", "客户", "客户id", "客户编号", "顾客", "顾客编号", "读者",
    "读者编号", "买家", "买家id", "买家会员名", "买家昵称", "会员名", "会员卡号", "客户名称",
    "客户号", "用户昵称", "账号", "buyer", "buyer_id", "account", "account_id",
)  # fmt: skip
ITEMS = (
    "item", "item_id", "itemid", "movie_id", "movieid", "movie", "product_id", "productid",
    "product", "sku", "sku_id", "goods_id", "goods", "book_id", "bookid", "book", "isbn", "asin",
    "parent_asin", "article_id", "news_id", "video_id", "song_id", "track_id", "artist_id",
    "artistid", "business_id", "poi_id", "game_id", "商品", "商品id", "商品编号", "商品编码",
    "物品",
    "物品id", "物品编号", "电影", "电影id", "电影编号", "书", "图书", "书号", "图书编号", "书籍",
    "书籍id", "文章id", "文章编号", "视频id", "歌曲id", "货号", "产品", "产品id", "产品编号",
)  # fmt: skip
# Columns of events that name the item itself, where it has no id.
NAMED = (
    "product_name", "item_name", "product_title", "item_title", "movie_title", "book_title",
    "商品名称", "商品名", "商品标题", "宝贝标题", "宝贝名称", "品名", "产品名称", "书名", "片名",
    "电影名", "电影名称", "歌名",
)  # fmt: skip
TIMES = (
    "time", "timestamp", "ts", "event_time", "datetime", "created_at", "create_time",
    "unixreviewtime", "time_stamp", "时间", "时间戳", "发生时间", "购买时间", "下单时间",
    "行为时间",
    "评分时间", "浏览时间", "借阅时间", "成交时间", "付款时间", "支付时间", "交易时间", "消费时间",
    "订单创建时间", "订单时间", "order_time", "order_date", "purchase_time", "purchase_date",
    "paid_at", "下单日期", "购买日期", "成交日期", "订单日期", *DAYS,
)  # fmt: skip
EVENTS = (
    "event", "event_type", "eventtype", "event_name", "behavior", "behavior_type", "behaviour",
    "action", "action_type", "事件", "事件类型", "行为", "行为类型", "动作", "操作",
)  # fmt: skip
RATINGS = ("rating", "ratings", "score", "stars", "star", "overall", "评分", "打分", "分数", "星级")
IDS = ("id", "编号", "id号")  # in files of items
TITLES = (
    "title", "name", "product_title", "item_title", "movie_title", "product_name", "item_name",
    "标题", "名称", "书名", "片名", "商品名称", "商品名", "商品标题", "品名", "产品名称", "电影名",
    "电影名称", "歌名", "题名",
)  # fmt: skip
TEXTS = (
    "text", "description", "desc", "summary", "overview", "content", "abstract", "introduction",
    "plot", "简介", "描述", "内容", "介绍", "正文", "详情", "商品描述", "内容简介", "剧情简介",
    "摘要",
)  # fmt: skip
TAGS = (
    "tags", "tag", "genres", "genre", "categories", "category", "keywords", "labels", "标签",
    "类别", "类型", "分类", "类目", "关键词", "题材", "体裁", "品类",
    "商品分类", "商品类目", "product_category",
)  # fmt: skip


@dataclass(frozen=True)
class EventColumns:
    """The columns of a file of events. Those after `item` may be None."""

    user: str
    item: str
    time: str | None
    event: str | None
    rating: str | None

    @classmethod
    def of(cls, path: Path, names: Sequence[str], settings: ColumnSettings) -> Self:
        """The columns of a file with these names. Raises `XinyeError` if the user or the item is
        not among them, or a column that a person named."""
        user = _needed(path, names, ("user", settings.user_field, USERS))
        rest = [name for name in names if name != user]
        item = _needed(path, rest, ("item", settings.item_field, (*ITEMS, *NAMED)))
        rest.remove(item)
        return cls(
            user,
            item,
            _named(path, rest, ("time", settings.time_field, TIMES)),
            _named(path, rest, ("event", settings.event_field, EVENTS)),
            _named(path, rest, ("rating", settings.rating_field, RATINGS)),
        )

    @property
    def used(self) -> list[str]:
        """The columns that are there."""
        return [name for name in astuple(self) if name]


@dataclass(frozen=True)
class ItemColumns:
    """The columns of a file of items. It has one of those after `id` at least."""

    id: str
    title: str | None
    text: str | None
    tags: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, names: Sequence[str], settings: ColumnSettings) -> Self:
        """The columns of a file with these names. Raises `XinyeError` if there is no id, or
        nothing beside it. `--item-field` also names the column of the events, so that it need not
        be here."""
        wanted = settings.item_field if settings.item_field in names else None
        number = _needed(path, names, ("item", wanted, (*ITEMS, *IDS)))
        rest = [name for name in names if name != number]
        title = _named(path, rest, ("title", settings.title_field, TITLES))
        rest = [name for name in rest if name != title]
        if settings.tags_field:
            asked = at_commas(settings.tags_field)
            tags = [name for one in asked if (name := _named(path, rest, ("tags", one, ())))]
        else:
            tags = [name for name in rest if name.strip().casefold() in TAGS]
        rest = [name for name in rest if name not in tags]
        text = _named(path, rest, ("text", settings.text_field, TEXTS))
        if not (title or text or tags):
            raise XinyeError(
                f"{path}: no column of titles, texts or tags; name one with --title-field. "
                f"The columns are {_shown(names)}"
            )
        return cls(number, title, text, tuple(tags))

    @property
    def used(self) -> list[str]:
        """The columns that are there."""
        return [name for name in (self.id, self.title, self.text, *self.tags) if name]


# What a column holds, the name that a person gave, and its usual names.
Wanted = tuple[str, str | None, Sequence[str]]


def _named(path: Path, names: Iterable[str], wanted: Wanted) -> str | None:
    what, given, usual = wanted
    names = [*names]
    if given is None:
        return find_column(names, usual)
    if given not in names:
        near = did_you_mean(given, names)
        raise XinyeError(
            f"{path}: no column {given!r} (--{what}-field); the columns are {_shown(names)}{near}"
        )
    return given


def _needed(path: Path, names: Sequence[str], wanted: Wanted) -> str:
    found = _named(path, names, wanted)
    if found is None:
        raise XinyeError(
            f"{path}: cannot tell which column is the {wanted[0]}; name it with "
            f"--{wanted[0]}-field. The columns are {_shown(names)}"
        )
    return found


def _shown(names: Sequence[str]) -> str:
    more = ", …" if len(names) > 12 else ""
    return ", ".join(repr(str(name)[:40]) for name in names[:12]) + more
