"""`xinye download`"""

from dataclasses import asdict

from xinye.cli.arguments import Parser


def main(arguments: list[str]) -> int:
    parser = Parser(
        "download",
        "Fetch a model from the Hugging Face hub, to use it by its name from then on, without "
        "network. HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE are honoured.",
        "xinye download Qwen/Qwen2.5-0.5B",
    )
    parser.add_argument("model", metavar="NAME", help="its name on the hub, such as owner/model")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from huggingface_hub.utils import disable_progress_bars

    from xinye.cli.output import Display, console, print_json
    from xinye.jobs.download import download
    from xinye.observer import Observer

    if not console.is_terminal:
        disable_progress_bars()
    # the hub's client has bars
    downloaded = download(values["model"], Observer() if console.is_terminal else Display())
    if values["json"]:
        print_json(asdict(downloaded))
    else:
        size = f"{downloaded.files} files, {downloaded.bytes / 1e6:,.1f} MB"
        console.print(f"{downloaded.model}: {size} in {downloaded.folder}", soft_wrap=True)
        console.print(f"now: xinye generate {downloaded.model} …", soft_wrap=True)
    return 0
