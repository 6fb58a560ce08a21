"""What vLLM writes greedily with each folder; `test_vllm.py` runs this in vLLM's environment.

python vllm_texts.py REQUEST.json ANSWER.json
"""

import json
import sys
from pathlib import Path

from vllm import LLM, SamplingParams


def main(request: Path, answer: Path) -> None:
    asked = json.loads(request.read_text("utf-8"))
    settings = SamplingParams(temperature=0, max_tokens=asked["max_tokens"], logprobs=2)
    written = {}
    for folder in asked["folders"]:
        engine = LLM(folder, dtype="float32", max_num_seqs=4, enforce_eager=True)
        outputs = engine.generate(asked["prompts"], settings)
        if folder in asked["chats"]:
            outputs += engine.chat(asked["messages"], settings)
        written[folder] = [
            {
                "prompt": list(output.prompt_token_ids),
                "tokens": list(output.outputs[0].token_ids),
                "text": output.outputs[0].text,
                # from the likeliest token to the next, at each place
                "margins": [
                    abs(first.logprob - second.logprob)
                    for first, second, *_ in map(dict.values, output.outputs[0].logprobs)
                ],
            }
            for output in outputs
        ]
        del engine
    answer.write_text(json.dumps(written, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
