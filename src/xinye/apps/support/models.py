"""`Models`: the models of a desk, loaded, by their roles."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from xinye import api
from xinye.apps.models_file import MODELS
from xinye.apps.support.desk_folder import DeskFolder
from xinye.apps.support.desk_settings import SETTINGS
from xinye.apps.support.intents import Intents
from xinye.data.personal import Personal, Tagger
from xinye.errors import XinyeError
from xinye.model.heads import Head
from xinye.retrieval.graph import Graph

# what the types of taggers are called that stand for personal data
_KINDS = {
    "name": ("per", "person", "name", "nr", "人名", "姓名"),
    "address": ("addr", "address", "地址"),
}
_VERBS = {
    "intents": "classify",
    "answer": "answer",
    "relations": "classify",
    "mood": "classify",
    "entities": "tag",
}


@dataclass(frozen=True)
class Models:
    """The loaded models; a role that is missing is not among them. `hashes` has the SHA-256 of
    each; `intents` says what a question is about, and `graph` has the triples that the model of
    "relations" answers from."""

    loaded: dict[str, api.Model] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    intents: Intents | None = None
    graph: Graph | None = None

    @classmethod
    def load(cls, desk: DeskFolder) -> "Models":
        """The models of a desk. Raises `XinyeError` if one cannot do what its role needs."""
        loaded = {}
        for role, entry in desk.models.items():
            model = api.load(desk.folder / entry.path)
            _check(desk, role, model)
            loaded[role] = model
        hashes = {role: entry.sha256 for role, entry in desk.models.items()}
        graph = None
        if name := desk.settings.graph:
            graph = Graph.read([desk.folder / name])
            if "relations" not in loaded:
                raise XinyeError(
                    f"{desk.folder / SETTINGS}: graph needs a model for the role relations in "
                    f"{MODELS}; name one, or empty graph"
                )
        network = loaded.get("intents")
        return cls(loaded, hashes, Intents.of(network) if network else None, graph)

    def get(self, role: str) -> api.Model | None:
        """The model of a role; None if it is missing."""
        return self.loaded.get(role)

    @property
    def tagger(self) -> Tagger | None:
        """What finds names and addresses to mask; None without a model for that."""
        model = self.loaded.get("entities")
        return tagger_of(model) if model else None


def tagger_of(model: api.Model) -> Tagger:
    """What finds names and addresses by a model that tags."""
    return lambda text: _personal(model.tag(text))


def _check(desk: DeskFolder, role: str, model: api.Model) -> None:
    where = f"{desk.folder / MODELS}, [{role}]"
    verb = _VERBS.get(role)
    if verb and (model.task is None or model.task.verb != verb):
        does = model.task.verb if model.task else "generate text"
        raise XinyeError(f"{where}: this model was made to {does}; name one that can {verb}")
    if role == "chat" and model.learned_task:
        raise XinyeError(f"{where}: this model writes no texts; name a chat model")
    labels = model.network.config.labels if isinstance(model.network, Head) else ()
    if role == "mood" and not {*desk.settings.angry} & {*labels}:
        some = ", ".join(labels[:8])
        raise XinyeError(
            f"{where}: its labels are {some}; say in {SETTINGS} which of them mean an angry "
            'customer, such as angry = ["anger"]'
        )


def _personal(spans: list[dict[str, Any]]) -> Iterator[Personal]:
    for span in spans:
        name = span["type"].casefold()
        for kind, names in _KINDS.items():
            if name in names:
                yield Personal(span["start"], span["end"], kind)
