"""Channels: what their settings refuse, and what receivers of each kind get."""

import email
import email.policy
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from apps.monitor.office import START
from apps.monitor.receivers import SECRET, FeishuGroup, MailServer, Receiver
from xinye.apps.monitor.channel_settings import Channels, read_channels
from xinye.apps.monitor.channels import Channel, open_channels
from xinye.apps.monitor.feishu import as_post
from xinye.apps.monitor.notices import Notice, Typical, Wording
from xinye.apps.monitor.sending import Undelivered, explained
from xinye.errors import XinyeError

HOOK = {"name": "ops", "kind": "webhook", "url": "https://example.com/hook", "secret": "OPS_SECRET"}
MAIL = {
    "name": "post",
    "kind": "mail",
    "host": "127.0.0.1",
    "tls": "none",
    "sender": "monitor@example.com",
    "to": ["li@example.com", "han@example.com"],
}
GROUP = {"name": "group", "kind": "feishu", "url_from": "GROUP_URL", "secret": "GROUP_SECRET"}
NOTICE = Notice(
    alert=7,
    kind="topic",
    subject="退货",
    since=int(START // 3600),
    hour=int(START // 3600),
    observed=23,
    expected=4.06,
    summary="退货的人多了。",
    documents=(
        Typical("退货太难了", "客服一直不回复。", "https://example.com/1"),
        Typical('<at user_id="all">所有人</at>', "<script>", ""),
    ),
)
BODY = NOTICE.body(Wording("zh", "https://monitor.example.com/"))


def opened(values: dict[str, Any], **environment: str) -> list[Channel]:
    return list(open_channels(read_channels([values]), environment).values())


def failure(channel: Channel) -> Undelivered:
    with pytest.raises(Undelivered) as raised:
        channel.send("the-key", BODY, START)
    assert SECRET not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
    return raised.value


def test_a_secret_that_can_be_guessed_is_told() -> None:
    warned: list[str] = []
    for secret in ("x", "0123456789abcdef"):
        open_channels(read_channels([HOOK]), {HOOK["secret"]: secret}, warned.append)
    assert len(warned) == 1 and warned[0].startswith("channel 'ops': the secret in")


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (HOOK | {"kind": "webhok"}, "'ops': set kind to webhook, mail or feishu; did you mean"),
        (HOOK | {"adress": "x"}, "'ops': unknown key 'adress'"),
        (HOOK | {"secret": ""}, "'ops': set secret to the name of an environment variable"),
        (HOOK | {"secret": SECRET}, "'ops': secret: this must be the name of an environment"),
        (HOOK | {"url": ""}, "'ops': set url, or url_from with the name"),
        (HOOK | {"url": f"ftp://{SECRET}"}, "'ops': url: the address must begin with https"),
        (HOOK | {"url": f"https://me:{SECRET}@a.com"}, "'ops': url: the address has a user name"),
        (HOOK | {"url": f"https://a.com:{SECRET}/"}, "'ops': url: this is not a web address"),
        (HOOK | {"url": [f"https://a.com/{SECRET}"]}, "'ops': url: write this as a text"),
        (HOOK | {"timeout": 600}, "'ops': timeout: 600 is too large; use at most 30"),
        (MAIL | {"to": ["Li <li@a.com>"]}, "'post': to: 'Li <li@a.com>' is not a mail address"),
        (MAIL | {"sender": "a@b.com\nBcc: x@y.com"}, "'post': sender: .* is not a mail address"),
        (MAIL | {"user": "monitor"}, "'post': user and secret belong together"),
        (
            MAIL | {"user": "monitor", "secret": "PASSWORD"},
            "'post': a password is not sent without",
        ),
    ],
)
def test_wrong_settings(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(XinyeError, match=f"channel {problem}") as refused:
        read_channels([values])
    assert SECRET not in str(refused.value)


def test_a_channel_without_a_name() -> None:
    with pytest.raises(XinyeError, match=r"^\[\[channels\]\] 2: name: it is missing"):
        read_channels([HOOK, {"kind": "mail"}])


def test_two_channels_have_two_names() -> None:
    with pytest.raises(XinyeError, match="two have the name 'ops'"):
        read_channels([HOOK, HOOK])


def test_channels_are_a_field_of_settings() -> None:
    class Settings(BaseModel):
        channels: Channels = ()

    read = Settings.model_validate({"channels": [HOOK, MAIL, GROUP]})
    assert [each.kind for each in read.channels] == ["webhook", "mail", "feishu"]
    assert Settings.model_validate(read.model_dump()) == read


@pytest.mark.parametrize(
    ("values", "environment", "missing"),
    [
        (HOOK, {}, "OPS_SECRET"),
        (HOOK, {"OPS_SECRET": " "}, "OPS_SECRET"),
        (GROUP, {"GROUP_SECRET": SECRET}, "GROUP_URL"),
    ],
)
def test_a_missing_variable_is_named(values, environment, missing) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(XinyeError, match=f"needs the environment variable {missing}, which is not"):
        opened(values, **environment)


def test_a_wrong_address_in_the_environment_is_not_shown() -> None:
    with pytest.raises(XinyeError, match="'group': GROUP_URL: the address must") as refused:
        opened(GROUP, GROUP_SECRET=SECRET, GROUP_URL=f"/{SECRET}")
    assert SECRET not in str(refused.value)


def test_an_address_with_chinese_in_it() -> None:
    with Receiver().listening() as receiver:
        url = receiver.url + "/预警?组=一"
        (channel,) = opened(HOOK | {"url": url}, OPS_SECRET=SECRET)
        channel.send("the-key", BODY, START)
    assert receiver.paths == ["/hook/%E9%A2%84%E8%AD%A6?%E7%BB%84=%E4%B8%80"]


# -- Feishu ----------------------------------------------------------------------------------------


@pytest.fixture
def group() -> Iterator[FeishuGroup]:
    with FeishuGroup().listening() as group:
        yield group


def in_group(group: Receiver, secret: str = SECRET) -> Channel:
    (channel,) = opened(GROUP, GROUP_SECRET=secret, GROUP_URL=group.url)
    return channel


def test_a_group_of_feishu(group: FeishuGroup) -> None:
    in_group(group).send("the-key", BODY, START)
    (sent,) = group.posts
    assert sent["timestamp"] == "1700000000"
    post = sent["content"]["post"]["zh_cn"]
    assert post["title"] == "预警：1 小时内有 23 篇文档提到“退货”，预计 4.1 篇"
    lines = ["".join(part["text"] for part in line) for line in post["content"]]
    assert lines == [
        "2023-11-14 22:00 至 23:00（UTC）共 23 篇，预计 4.1 篇。",
        "摘要：退货的人多了。",
        "最有代表性的文档：",
        "1. 退货太难了",
        "客服一直不回复。",
        '2. ＜at user_id="all">所有人＜/at>',  # of a document: calls nobody
        "<script>",
        "看板",
    ]
    links = [part["href"] for line in post["content"] for part in line if part["tag"] == "a"]
    assert links == ["https://example.com/1", "https://monitor.example.com/"]


def test_a_wrong_signature_of_feishu(group: FeishuGroup) -> None:
    problem = failure(in_group(group, "another-secret"))
    assert "code 19021: the signature does not match" in str(problem)
    assert not problem.for_good


@pytest.mark.parametrize(("code", "for_good"), [(11232, False), (19024, False), (9499, True)])
def test_what_feishu_refuses(group: FeishuGroup, code: int, for_good: bool) -> None:
    group.codes = [code]
    problem = failure(in_group(group))
    assert f"Feishu answered with code {code}: " in str(problem)
    assert problem.for_good == for_good


def test_an_answer_that_is_not_of_feishu() -> None:
    with Receiver().listening() as receiver:
        assert "status 401" in str(failure(in_group(receiver)))  # by its status, without a code


@settings(max_examples=20)
@given(st.text('😀"\\\n<字', min_size=900), st.booleans())
def test_the_longest_message_fits_feishu(text: str, chinese: bool) -> None:
    """Of 20 KB at most. The texts are cut when they are read; see test_notices.py."""
    typical = Typical(text[:120], text[:300], "https://example.com/" + "a" * 780)
    notice = replace(NOTICE, subject=text[:120], summary=text[:300], documents=(typical,) * 5)
    post = as_post(json.loads(notice.body(Wording("zh" if chinese else "en"))))
    assert len(json.dumps(post, ensure_ascii=False).encode()) < 20_000


# -- mail ------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer().listening() as server:
        yield server


def mailbox(server: MailServer, **changes: object) -> Channel:
    values = MAIL | {"port": server.port, "to": ["li@example.com"], "timeout": 5.0} | changes
    (channel,) = opened(values, PASSWORD=SECRET)
    return channel


def test_each_mailbox_is_a_channel() -> None:
    assert list(open_channels(read_channels([MAIL]), {})) == [
        "post/li@example.com",
        "post/han@example.com",
    ]


def test_a_mail(server: MailServer) -> None:
    mailbox(server).send("the-key", BODY, START)
    mail = email.message_from_bytes(server.mails[0], policy=email.policy.SMTP)
    assert mail["Subject"] == "预警：1 小时内有 23 篇文档提到“退货”，预计 4.1 篇"
    assert (mail["To"], mail["Message-ID"]) == ("li@example.com", "<the-key@example.com>")
    text = mail.get_content().replace("\r\n", "\n")  # type: ignore[attr-defined]
    assert "1. 退货太难了\n   客服一直不回复。\n   https://example.com/1\n" in text
    assert text.endswith("看板：https://monitor.example.com/\n")


@pytest.mark.parametrize(
    ("command", "reply", "problem", "for_good"),
    [
        ("banner", "421 later", r"the server is not ready \(code 421\)", False),
        ("MAIL", "530 log in", r"the server refused the sender \(code 530\)", False),
        ("RCPT", "450 grey", r"the server refused the mailbox \(code 450\)", False),
        ("RCPT", "550 nobody", r"the server refused the mailbox \(code 550\)", True),
        ("mail", "554 spam", r"the server refused the message \(code 554\)", True),
        ("mail", "452 full", r"the server refused the message \(code 452\)", False),
        ("banner", "SSH-2.0-x", "does not answer as a mail server does", False),
    ],
)
def test_what_a_mail_server_refuses(server, command, reply, problem, for_good) -> None:  # type: ignore[no-untyped-def]
    server.refuse = {command: reply}
    raised = failure(mailbox(server))
    assert re.search(problem, str(raised))
    assert raised.for_good == for_good


def test_a_mail_server_that_never_answers(server: MailServer) -> None:
    server.silent = 600
    assert str(failure(mailbox(server, timeout=0.2))) == "no answer within 0.2 seconds"


def test_smtplib_reports_that_the_time_is_over_as_a_lost_connection() -> None:
    with pytest.raises(Undelivered, match="no answer within 5 seconds"), explained(5, no_socket):
        try:
            raise TimeoutError
        except TimeoutError:
            raise SMTPServerDisconnected("closed") from None
    with pytest.raises(Undelivered) as raised, explained(5, no_socket):
        raise SMTPServerDisconnected("closed")
    assert "within" not in str(raised.value)


def no_socket() -> None:
    """A connection that is not there yet."""


def test_a_mail_server_that_does_not_encrypt_gets_no_password(server: MailServer) -> None:
    channel = mailbox(server, tls="starttls", user="monitor", secret="PASSWORD")
    assert "does not offer what the settings ask for: encryption" in str(failure(channel))
    assert not [line for line in server.heard if line.startswith(("AUTH", "MAIL"))]


# -- certificates ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 with its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = "-subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", path, "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *names.split(), *files], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_name("both.pem.crt").read_text())
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_certificates_are_checked(
    certificate: Path, server: MailServer, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.context = context
    channels = [mailbox(server, tls="starttls", user="monitor", secret="PASSWORD")]
    with Receiver().listening(context) as receiver:
        url = receiver.url.replace("http:", "https:")
        channels += opened(HOOK | {"url": url}, OPS_SECRET=SECRET)
        for channel in channels:
            if trusted:
                channel.send("the-key", BODY, START)
            else:
                assert "the certificate is not valid" in str(failure(channel))
    assert len(server.mails) == len(receiver.bodies) == trusted
