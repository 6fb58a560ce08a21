"""`xinye download`, from a hub that stands on this machine; and the model by its name afterwards,
without network."""

import hashlib
import json
import shutil
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from xinye.checkpoints.adapters import save_adapter
from xinye.checkpoints.load import load_model
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach

COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """What the hub's client asks for: the list of a model's files, and the files."""

    def __init__(self, *arguments, root: Path, asked: list[str]) -> None:
        self.root, self.asked = root, asked
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        content = None
        if parts[:2] == ["api", "models"] and (folder := self.root.joinpath(*parts[2:4])).is_dir():
            files = [
                {"rfilename": str(path.relative_to(folder))} for path in sorted(folder.rglob("*"))
            ]
            content = json.dumps(
                {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": files}
            ).encode()
        elif (
            len(parts) == 5
            and parts[2] == "resolve"
            and (self.root / parts[0] / parts[1] / parts[4]).is_file()
        ):
            content = (self.root / parts[0] / parts[1] / parts[4]).read_bytes()
            if body:
                self.asked.append(parts[4])
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("ETag", f'"{hashlib.sha1(content or b"").hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def hub(tmp_path, monkeypatch, trained):
    """A hub with the model of a run as `maker/model`; returns its folder there, and what was asked
    for."""
    folder = tmp_path / "hub" / "maker" / "model"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("training"))
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "README.md").write_text("新叶")
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root=tmp_path / "hub", asked=asked))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    # what HF_ENDPOINT sets when it is imported
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield folder, asked
    server.shutdown()


def test_a_model_comes_once_and_then_goes_by_its_name(xinye, hub, trained):
    folder, asked = hub
    assert "xinye download maker/model" in xinye("generate", "maker/model", "小兔").complaint
    assert not asked, "only download asks the hub"
    outcome = xinye("download", "maker/model", "--json")
    result = json.loads(outcome.out)
    assert outcome.code == 0 and result["model"] == "maker/model" and result["files"] == len(asked)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {*asked}
    assert not {"pytorch_model.bin", "README.md"} & {*asked}

    shutil.rmtree(folder)
    texts = [
        xinye("generate", model, "小兔", "--seed", 1).out for model in ("maker/model", trained)
    ]
    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("maker/other", None, "the hub has no such model"),
        ("maker/../model", None, "is not a name on the hub"),
        ("maker/model", {"model_type": "mamba"}, "model_type 'mamba' is not supported"),
        ("maker/model", "pickled", "it has no model.safetensors; Xinye does not download pickled"),
    ],
    ids=["unknown", "no name", "unknown architecture", "pickled"],
)
def test_what_cannot_be_used_is_not_downloaded(name, change, message, xinye, hub):
    folder, asked = hub
    if change == "pickled":
        (folder / "model.safetensors").unlink()
    elif change:
        (folder / "config.json").write_text(json.dumps(change))
    outcome = xinye("download", name)
    assert outcome.code == 2 and message in outcome.complaint
    assert {*asked} <= {"config.json"}


def test_an_adapter_comes_alone_and_names_its_base(xinye, hub, trained):
    folder, asked = hub
    model, tokenizer = load_model(trained)
    attach(model, AdapterSettings(method="lora"))
    adapter = folder.with_name("adapter")
    save_adapter(adapter, model, trained, tokenizer)
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = "maker/model"
    (adapter / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    outcome = xinye("download", "maker/adapter")
    assert outcome.code == 0 and "xinye download maker/model" in outcome.err
    assert {*asked} == {path.name for path in adapter.iterdir()} - {"README.md"}
    asked_for = ("generate", "maker/adapter", "小兔", "--temperature", 0)
    assert "xinye download maker/model" in xinye(*asked_for).complaint
    assert xinye("download", "maker/model").code == 0
    assert "note:" not in xinye("download", "maker/adapter").err
    assert xinye(*asked_for).out == xinye("generate", trained, *asked_for[2:]).out != ""
    assert xinye(*asked_for, "--base", trained).code == 0
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert "does not download pickled weights" in xinye("download", "maker/adapter").complaint


def test_offline_is_said(xinye, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    outcome = xinye("download", "maker/model")
    assert outcome.code == 2 and "HF_HUB_OFFLINE is set" in outcome.complaint
