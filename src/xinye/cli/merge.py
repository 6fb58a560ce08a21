"""`xinye merge`"""

from dataclasses import asdict
from pathlib import Path

from xinye.cli.arguments import Parser


def main(arguments: list[str]) -> int:
    parser = Parser(
        "merge",
        "Put an adapter, LoRA or AdaLoRA, into the weights of its base: a plain model's folder "
        "with the same logits,\n"
        "as fast as the base. The adapter and the base stay as they are.",
        "xinye merge runs/reviews -o models/reviews",
    )
    parser.add_argument(
        "run", metavar="RUN", help="the adapter's folder, of this package or of peft"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="the folder to write"
    )
    parser.add_argument(
        "--overwrite", action="store_true", default=False, help="replace FOLDER's model"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    values = parser.values(arguments)

    from xinye.cli.output import console, print_json
    from xinye.jobs.convert import merge

    merged = merge(Path(values["run"]), Path(values["output"]), values["overwrite"])
    if values["json"]:
        print_json(asdict(merged))
    else:
        console.print(
            f"{merged.method} of {merged.matrices} matrices, ranks {merged.lowest_rank} "
            f"to {merged.highest_rank}, merged into {merged.base}",
            soft_wrap=True,
        )
        console.print(f"saved: {merged.output}", soft_wrap=True)
    return 0
