"""A model for other tools: read it, write it as one file, and tell what is done with that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xinye.checkpoints.gguf import save_gguf
from xinye.checkpoints.load import load_model
from xinye.errors import XinyeError
from xinye.libraries import need
from xinye.model.gpt import GPT

Format = Literal["gguf", "onnx"]
MAGIC = {"gguf": b"GGUF", "onnx": b"\x08"}  # what such files begin with


@dataclass(frozen=True)
class Export:
    """A model's file, how large it is, and the matrices that stand as f16: no block divides their
    rows."""

    file: str
    to: Format
    quantize: str
    parameters: int
    bytes: int
    kept_as_f16: list[str]


def export(model: str, to: Format, output: Path | None = None, quantize: str = "f32") -> Export:
    """Write a model as one file, without `output` into this folder under the model's name.

    Float32 by default: nothing is lost, and llama-quantize makes all else of it. Raises
    `XinyeError` for what is no GPT, and where the file would replace one of another kind.
    """
    if to == "onnx" and quantize != "f32":
        raise XinyeError(
            f"--quantize {quantize} is for GGUF; an ONNX file is quantized by ONNX Runtime's own "
            "tools"
        )
    if to == "onnx":
        # torch's exporter is built on both
        need("an ONNX file", "onnx", "onnxscript", extra="onnx")
    source = Path(model)
    name = source.absolute().name.removesuffix(".gguf")
    path = output or Path(f"{name}.onnx" if to == "onnx" else f"{name}-{quantize}.gguf")
    check_target(path, source, to)
    network, tokenizer = load_model(model)
    if not isinstance(network, GPT):
        raise XinyeError(f"{model}: an LSTM cannot be exported; other tools do not know this one")
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: list[str] = []
    if to == "gguf":
        kept = save_gguf(path, network, tokenizer, quantize, {"general.name": name})
    else:
        from xinye.checkpoints.onnx import save_onnx

        save_onnx(path, network)
    return Export(str(path), to, quantize, network.config.parameters, path.stat().st_size, kept)


def check_target(path: Path, source: Path, to: Format) -> None:
    """Raises `XinyeError` where writing a file would replace a folder, the model itself, or a file
    of another kind."""
    if not path.exists():
        return
    if path.is_dir() or (source.exists() and path.samefile(source)):
        raise XinyeError(
            f"{path}: is {'a folder' if path.is_dir() else 'the model itself'}; name a file with -o"
        )
    with path.open("rb") as file:
        if not file.read(8).startswith(MAGIC[to]):
            raise XinyeError(f"{path}: exists and is no {to.upper()} file; name another with -o")
