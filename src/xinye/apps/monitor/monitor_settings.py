"""The settings of a monitor that a person edits, `monitor.toml`."""

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xinye.apps.models_file import comment, commented, read_as, setting
from xinye.apps.monitor.alarms import AlarmSettings
from xinye.apps.monitor.channel_settings import Channels
from xinye.retrieval.format import Format
from xinye.runs.words import Both

KIND, VERSION = "xinye monitor", 1
SETTINGS = "monitor.toml"
AGAIN = (
    "copy the folder of the monitor, to lose nothing; then correct this file, or take that of a "
    "backup or of a new monitor: xinye monitor prepare LABELLED -o NEW"
)
ROLES = {  # each with what it does
    "topics": Both("says what a document is about", "判断文档的主题"),
    "mood": Both("says whether a document is positive, neutral or negative", "判断文档的情感倾向"),
    "entities": Both("finds companies that the list does not name", "找出名单以外的公司"),
    "summary": Both("summarizes an alarm in one line", "用一句话概括预警"),
}

FORMAT = Format(
    KIND, VERSION, "this is not the settings of a monitor (kind is not 'xinye monitor')", AGAIN
)


class MonitorSettings(BaseModel):
    """What a person decides about a monitor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = KIND
    version: int = VERSION
    name: str = ""
    languages: tuple[Literal["zh", "en"], ...] = Field(("zh", "en"), min_length=1)
    time_zone: str = "UTC"
    board_url: str = ""
    retention_days: float = Field(180, ge=1, allow_inf_nan=False)
    repeat_days: float = Field(7, gt=0, le=90)
    feed_minutes: float = Field(5, ge=1, allow_inf_nan=False)
    private_hosts: tuple[str, ...] = ()
    alarm: AlarmSettings = AlarmSettings()
    companies: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    channels: Channels = ()

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"{value!r} is not the name of a time zone such as Asia/Shanghai or UTC"
            ) from None
        return value

    @property
    def zone(self) -> tzinfo:
        """The time zone of its hours, and of dates that name none."""
        return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)

    @property
    def hours_ahead(self) -> int:
        """How many hours the zone is ahead of UTC now."""
        return round((datetime.now(self.zone).utcoffset() or timedelta()) / timedelta(hours=1))


TITLE = Both(
    "The settings of this monitor. A monitor that runs reads changes when it is started again.",
    "舆情监测的设置。修改后，重新启动才生效。",
)
COMMENTS = {
    "name": Both("name of the organization, as the board shows it", "单位名称，显示在看板上"),
    "languages": Both(
        "languages of board and messages, the first is the default",
        "看板和通知的语言，第一个是默认语言",
    ),
    "time_zone": Both(
        "time zone of hours and of dates that name none", "时区：用于统计的小时和没有写时区的日期"
    ),
    "board_url": Both("address of the board, for messages", "看板的网址，写在通知里"),
    "retention_days": Both(
        "days until texts are deleted; counts stay", "正文保留多少天后删除（计数保留）"
    ),
    "repeat_days": Both(
        "days in which a nearly equal text counts as a repeat of the first",
        "多少天以内几乎相同的文本算作转载",
    ),
    "feed_minutes": Both("minutes between two looks at a feed", "每隔多少分钟读取一次订阅源"),
    "private_hosts": Both(
        "hosts in private networks that feeds may come from", "允许读取的内网主机"
    ),
}
ALARM = {
    "false_alarms": Both(
        "false alarms a week, of all subjects together", "所有主题合计，每周允许的误报次数"
    ),
    "least": Both("documents that an alarm needs at least", "触发预警至少需要的篇数"),
    "cool_down_hours": Both(
        "hours without an alarm until the next one of the same subject is another",
        "多少小时没有异常之后，同一主题再异常才算新的预警",
    ),
    "history_days": Both("days that are compared", "与过去多少天比较"),
}
COMPANIES = Both(
    'companies to watch, each with its other names: "Fern & Clay" = ["Fern and Clay", "FNC"]',
    '关注的公司和别名，例如："青禾茶器" = ["青禾", "QingHe"]',
)
CHANNELS = Both(
    "where alarms are sent; the secret is in an environment variable. An example:",
    "预警发到哪里；密钥写在环境变量里。示例：",
)
EXAMPLE = {
    "name": "ops",
    "kind": "webhook",
    "url": "https://example.org/alarms",
    "secret": "MONITOR_SECRET",
}


def write_settings(path: Path, settings: MonitorSettings) -> None:
    """Write the settings of a new monitor, each below what it means."""
    values = settings.model_dump(mode="json", exclude={"alarm", "companies", "channels"})
    lines = [*comment(TITLE), "", *commented(values, COMMENTS)]
    lines += ["", "[alarm]"]
    for name, value in settings.alarm.model_dump(mode="json").items():
        lines += [*comment(ALARM[name]), setting(name, value)]
    lines += ["", "[companies]", *comment(COMPANIES)]
    lines += [setting(quoted_key(name), [*also]) for name, also in settings.companies.items()]
    lines += ["", *comment(CHANNELS), "# [[channels]]"]
    lines += [f"# {setting(name, value)}" for name, value in EXAMPLE.items()]
    lines.append("")
    path.write_text("\n".join(lines), "utf-8", "backslashreplace")


def quoted_key(name: str) -> str:
    """A key of TOML, in quotes."""
    return setting("", name).removeprefix(" = ")


def read_settings(path: Path) -> MonitorSettings:
    """The settings in a file. Raises `XinyeError` that names the line or the key that is wrong."""
    return read_as(path, MonitorSettings, FORMAT)
