"""The models that a run begins with: one to go on training, one to learn from."""

import hashlib
from dataclasses import dataclass, field

from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.build import LanguageModel
from xinye.model.quantization import unpack
from xinye.planning.settings import PretrainSettings


@dataclass(frozen=True)
class Models:
    """`tokenizer` is theirs, and so the run's; `told` is what a run notes of them."""

    base: LanguageModel | None = None
    teacher: LanguageModel | None = None
    tokenizer: Tokenizer | None = None
    told: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def most_context(self) -> int | None:
        """Tokens that all of them can see at once."""
        return min(
            (model.config.max_position_embeddings for model in (self.base, self.teacher) if model),
            default=None,
        )


FROM_SCRATCH = Models()


def load_models(settings: PretrainSettings) -> Models:
    """The models that the settings name; none of them for a run from scratch."""
    loaded: dict[str, LanguageModel] = {}
    told: dict[str, dict[str, str]] = {}
    tokenizer: Tokenizer | None = None
    for role, name in (("from", settings.from_), ("teacher", settings.teacher)):
        if name is None:
            continue
        loaded[role], its_tokenizer = load_model(name)
        if role == "from":
            unpack(loaded[role])  # quantized weights cannot be trained
        told[role] = {"model": name, "fingerprint": fingerprint(loaded[role])}
        if tokenizer and its_tokenizer.fingerprint != tokenizer.fingerprint:
            raise XinyeError(
                f"{settings.from_}: its tokenizer differs from that of its teacher, {name}; both "
                "must have the same tokenizer"
            )
        tokenizer = its_tokenizer
    return Models(loaded.get("from"), loaded.get("teacher"), tokenizer, told)


def fingerprint(model: LanguageModel) -> str:
    """The same for the same weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()
