"""`xinye quantize`, and what the other verbs do with the file."""

import json

from xinye.checkpoints.load import load_model


def test_a_run_becomes_a_small_file_that_generates_and_costs_little(xinye, trained, workplace):
    outcome = xinye("quantize", trained, "--to", "q8_0", "-o", "叶.gguf", "--json")
    result = json.loads(outcome.out)
    assert outcome.code == 0 and result["file"] == "叶.gguf" and result["kept_as_f16"] == []
    assert result["bytes"] == (workplace / "叶.gguf").stat().st_size < result["bytes_before"]
    assert abs(result["loss_percent"]) < 0.5 and result["tokens"] > 0
    greedy = ("从前", "--temperature", "0", "--max-tokens", "8")
    assert xinye("generate", "叶.gguf", *greedy).out == xinye("generate", trained, *greedy).out
    assert "bits per byte" in xinye("evaluate", "叶.gguf", "zh.txt").out


def test_without_a_text_only_the_sizes_are_told(xinye, trained, workplace):
    xinye("quantize", trained, "--to", "q8_0", "-o", "leaf.gguf")
    outcome = xinye("quantize", "leaf.gguf", "--to", "q4_0")
    assert (
        outcome.code == 0
        and "leaf-q4_0.gguf" in outcome.out
        and "to measure the loss of quality, name a text: xinye quantize leaf.gguf FILE --to q4_0"
        in outcome.out
    )
    assert "rounded twice" in outcome.err
    outcome = xinye("quantize", "leaf.gguf", "en.txt", "--to", "q4_0")
    assert "q4_0 changes the bits per byte by" in outcome.out
    assert load_model("leaf.gguf")[1].chat_template is None  # its run only went on with texts


def test_a_fine_tuning_notes_that_its_base_read_what_is_not_known_here(xinye, trained, workplace):
    lines = [
        json.dumps({"prompt": f"从前{number}", "answer": "有一只小兔"}) for number in range(24)
    ]
    (workplace / "chats.jsonl").write_text("\n".join(lines), "utf-8")
    taught = ("--task", "chat", "--data", "chats.jsonl", "--epochs", 1, "--method", "lora")
    assert xinye("finetune", trained, *taught, "-o", "run").code == 0
    outcome = xinye("quantize", "run", "-o", "leaf.gguf")
    note = "note: it was fine-tuned on records; the training text of its base is not known; "
    assert outcome.code == 0 and note in outcome.out
    result = json.loads(xinye("quantize", "run", "zh.txt", "-o", "leaf.gguf", "--json").out)
    assert result["notes"] == [] and result["tokens"] > 0
    # the adapter alone is no model
    assert result["bytes_before"] > (trained / "model.safetensors").stat().st_size
    # a model that learned to answer keeps its template, and is loaded in the dtype that is asked for
    assert load_model("leaf.gguf")[1].chat_template is not None
    greedy = ("从前", "--temperature", 0, "--max-tokens", 4)
    for dtype in ("float32", "bfloat16"):
        assert xinye("generate", "run", *greedy, "--dtype", dtype).out


def test_wrong_use_is_one_line_and_loses_nothing(xinye, trained, workplace):
    (workplace / "notes.gguf").write_text("mine", "utf-8")
    assert (
        "is no GGUF file"
        in xinye("quantize", trained, "--to", "q8_0", "-o", "notes.gguf").complaint
    )
    assert "is a folder" in xinye("quantize", trained, "--to", "q8_0", "-o", workplace).complaint
    assert (
        "there is no such folder"
        in xinye("quantize", trained, "--to", "q8_0", "-o", "no/leaf.gguf").complaint
    )
    assert xinye("quantize", trained, "--to", "q5_0").code == 2
    assert (workplace / "notes.gguf").read_text("utf-8") == "mine"
