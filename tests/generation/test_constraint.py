"""What is written under a constraint fulfils it, whatever the model would rather write; what cannot
be is one line."""

import json
import re
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers

import random_models
from xinye.data.tokenizer import Tokenizer
from xinye.data.tool_calls import HERMES
from xinye.errors import XinyeError, checked
from xinye.generation.constraint import constraint_for
from xinye.generation.engine import Engine, generate, start
from xinye.generation.sampling import Sampling, Schema, Tools, ToolSampling
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

TEXT = '新叶催陈叶。{"label": "正面", "score": -12.5} The leaf falls, true or false: null. ' * 3


def spaced() -> Tokenizer:
    """One of SentencePiece's kind: `encode` puts a space before a text, and bytes stand for what
    has no token."""
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *'▁tru新叶{}"',
        "▁t",
        "▁tr",
        "▁tru",
    ]
    merges = [("▁", "t"), ("▁t", "r"), ("▁tr", "u")]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = tokenizers.Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return Tokenizer(backend, None, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


TOKENIZERS = {
    "spaced": spaced(),
    "char": Tokenizer.train([TEXT], kind="char"),
    "bpe": Tokenizer.train([TEXT], kind="bpe", vocab_size=340, exact=False),
}
few = settings(max_examples=12, deadline=None, database=None)


def random_model(tokenizer: Tokenizer, seed: int) -> GPT:
    config = GPTConfig("modern", tokenizer.vocab_size, 16, 1, 2, 1, 8, 32, 512, False)
    return random_models.random_model(config, 0.5, seed=seed)


MODELS = {
    (kind, seed): random_model(TOKENIZERS[kind], seed) for kind in TOKENIZERS for seed in (0, 1)
}
which_model = st.sampled_from([*MODELS])
samplings = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0, 0.7, 2.0]), "seed": st.integers(0, 9)},
    optional={
        "top_p": st.sampled_from([0.1, 0.9]),
        "min_p": st.sampled_from([0.1, 1.0]),
        "top_k": st.just(1),
        "min_tokens": st.integers(0, 40),
        "repetition_penalty": st.just(1.3),
    },
)


def write(which: tuple[str, int], **sampling: Any) -> str:
    """The text of a random model, which must have come to its end."""
    tokenizer = TOKENIZERS[which[0]]
    asked = checked(Sampling, {"max_tokens": 400, **sampling}, "test")
    sequence = start(tokenizer, "新", 512, asked)
    for _ in generate(MODELS[which], tokenizer, [sequence]):
        pass
    assert sequence.finish_reason == "stop", sequence.text
    return sequence.text


# -- JSON ------------------------------------------------------------------------------------------

SCHEMAS = st.recursive(
    st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
                  st.integers(-200, 200), st.integers(0, 99)),
        st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 5)),
        st.builds(lambda words: {"enum": words},
                  st.lists(st.sampled_from(["正面", "叶\n", 'a"b', "", 3, None]), min_size=1, max_size=3, unique=True)),
        st.just({"type": "string", "pattern": "^[\\u4e00-\\u9fff]{1,3}$"}),
    ),
    lambda inner: st.one_of(
        st.builds(lambda items, most: {"type": "array", "items": items, "maxItems": most}, inner, st.integers(0, 3)),
        st.builds(
            lambda inner: {"type": "object", "properties": inner, "required": [*inner], "additionalProperties": False},
            st.dictionaries(st.sampled_from(["label", "情感", "b c", "\""]), inner, max_size=3),
        ),
    ),
    max_leaves=4,
)  # fmt: skip


def fulfils(value: Any, schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "integer":
            return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
        case "string":
            fits = len(value) <= schema.get("maxLength", 99)
            return fits and bool(re.search(schema.get("pattern", ""), value))
        case "array":
            return len(value) <= schema["maxItems"] and all(
                fulfils(each, schema["items"]) for each in value
            )
        case "object":
            return value.keys() == schema["properties"].keys() and all(
                fulfils(value[name], inner) for name, inner in schema["properties"].items()
            )
    return value is None if schema["type"] == "null" else type(value) is bool


@few
@given(which=which_model, schema=SCHEMAS, sampling=samplings)
def test_json_fulfils_its_schema(
    which: tuple[str, int], schema: dict[str, Any], sampling: dict[str, Any]
) -> None:
    text = write(which, json_schema=schema, **sampling)
    assert fulfils(json.loads(text), schema), (text, schema)


def test_any_object_is_an_object_where_it_ends_in_time() -> None:
    texts = []
    for seed in range(8):
        tokenizer = TOKENIZERS["char"]
        sampling = Sampling(
            json_schema={"type": "object"}, temperature=1.5, seed=seed, max_tokens=300
        )
        sequence = start(tokenizer, "新", 512, sampling)
        for _ in generate(MODELS["char", 0], tokenizer, [sequence]):
            pass
        texts.append(sequence.text)
        if sequence.finish_reason == "stop":
            assert isinstance(json.loads(sequence.text), dict)
    assert all(text.startswith("{") for text in texts)


# Schemas, each with a text that follows it if the number N in it does.
NUMBERS: list[tuple[Schema, str]] = [
    ({"type": "integer"}, "N"),
    ({"type": "number"}, "N"),
    ({"type": ["null", "number"], "exclusiveMinimum": 0}, "N"),
    ({}, "N"),
    ({"type": "array"}, '[true, {"a": N}]'),
    ({"type": "array", "prefixItems": [{"type": "null"}]}, "[null, N]"),
    ({"properties": {"a": True, "b": {"title": "b"}}}, '{"a": [], "b": {"c": N}}'),
    ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "[[N]]"),
    (
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]},
        "[null, N]",
    ),
    ({"properties": {"allOf": {"type": "string"}, "b": {}}}, '{"b": N}'),
    ({"anyOf": [{"type": "null"}, {"type": "object"}]}, '{"a": N}'),
    ({"allOf": [{"items": {"type": "number"}}, {"type": "array"}]}, "[N]"),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "object"}, '{"a": N}'),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}]}, "[N]"),
]


def allows(sampling: Sampling, text: str) -> bool:
    """Whether the whole text may be written."""
    constraint = constraint_for(TOKENIZERS["bpe"], sampling)
    assert constraint is not None
    for token in TOKENIZERS["bpe"].encode(text):
        if not constraint.allowed()[token]:
            return False
        constraint.accept(token)
    return constraint.finished or bool(constraint.allowed()[TOKENIZERS["bpe"].eos_id])


@pytest.mark.parametrize(("schema", "around"), NUMBERS)
def test_numbers_can_be_read_again(schema: Schema, around: str) -> None:
    whole = {name: value for name, value in schema.items() if name in ("$schema", "$defs")}
    parameters = {"type": "object", "properties": {"x": schema}, **whole}
    tools = Tools(HERMES, {"a": parameters}, required=True)
    call = f'{HERMES.begin("a")}{{"x": {around}}}{HERMES.end}'
    for sampling, text in (
        (Sampling(json_schema=schema), around),
        (ToolSampling(tools=tools), call),
    ):
        for number in ("7", "31415926535", "1700000000000000000"):
            assert allows(sampling, text.replace("N", number)), number
        for number in ("1e999", "1E+99999", "9" * 400, "9" * 5_000):
            assert not allows(sampling, text.replace("N", number)), number


@pytest.mark.parametrize("definitions", [[], None, {"any": 3}])
def test_definitions_that_are_none_are_refused(definitions: object) -> None:
    schema = {"type": "object", "properties": {}, "$defs": definitions}
    for sampling in (
        Sampling(json_schema=schema),
        ToolSampling(tools=Tools(HERMES, {"a": schema}, required=True)),
    ):
        try:
            assert allows(sampling, "x") is False
        except XinyeError as error:
            assert "\n" not in str(error)


def test_a_value_may_have_to_satisfy_two_schemas_of_any_value() -> None:
    schema = {"properties": {"a": {}}, "patternProperties": {"^a": {}}}
    assert allows(Sampling(json_schema=schema), '{"a": 7}')


def test_bounds_of_a_schema_stay() -> None:
    for schema in ({"minimum": 5}, {"exclusiveMinimum": 4}, {"minimum": 5, "maximum": 10**30}):
        sampling = Sampling(json_schema={"type": "integer", **schema})
        assert [allows(sampling, text) for text in ("4", "5", "9" * 400)] == [False, True, False]
    assert allows(Sampling(json_schema={"type": "integer", "maximum": -(10**18)}), f"-{10**18}")
    assert allows(Sampling(json_schema={"const": 10**30}), f"1{'0' * 30}")


def test_what_max_tokens_cut_off_says_so() -> None:
    sampling = Sampling(json_schema={"type": "string", "minLength": 50}, max_tokens=5)
    sequence = start(TOKENIZERS["char"], "", 512, sampling)
    for _ in generate(MODELS["char", 0], TOKENIZERS["char"], [sequence]):
        pass
    assert (sequence.finish_reason, sequence.completion_tokens) == ("length", 5)


# -- regular expressions and choices ---------------------------------------------------------------

# No \d here: it has the digits of all scripts, of which the library knows newer ones than Python's
# `re`.
PIECES = st.recursive(
    st.sampled_from(
        [
            "新",
            "叶+",
            "[一-龥]{2}",
            "a",
            "[^ab]{1,2}",
            "[0-9]{1,3}",
            "(x|yz)?",
            r"\.",
            "/",
            '"',
            "(?:甲|乙){2}",
        ]
    ),
    lambda inner: st.one_of(
        st.builds("".join, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda a, b: f"(?:{a}|{b})", inner, inner),
        st.builds(lambda a: f"(?:{a}){{0,2}}", inner),
    ),
    max_leaves=5,
)


@few
@given(which=which_model, regex=PIECES, sampling=samplings)
def test_a_text_matches_its_regular_expression(
    which: tuple[str, int], regex: str, sampling: dict[str, Any]
) -> None:
    regex = regex.replace("+", "{1,9}")  # so that it ends
    assert re.fullmatch(regex, write(which, regex=regex, **sampling))


@few
@given(
    which=which_model,
    choices=st.lists(
        st.text(st.sampled_from('新叶a ,"\\/\n{é😀'), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    ),
    sampling=samplings,
)
def test_a_text_is_one_of_its_choices(
    which: tuple[str, int], choices: list[str], sampling: dict[str, Any]
) -> None:
    assert write(which, choices=tuple(choices), **sampling) in choices


def test_each_of_several_texts_has_its_own_place_in_the_grammar() -> None:
    tokenizer = TOKENIZERS["char"]
    regexes = ["[a-c]{1,5}", "[a-c]{1,5}", "新{3}叶", None]
    sequences = [
        start(
            tokenizer,
            "新",
            512,
            Sampling(regex=regex, seed=1, temperature=2.0, max_tokens=9),
            number,
        )
        for number, regex in enumerate(regexes)
    ]
    for _ in generate(MODELS["char", 0], tokenizer, sequences):
        pass
    for sequence, regex in zip(sequences, regexes, strict=True):
        assert regex is None or re.fullmatch(regex, sequence.text)


# -- what cannot be --------------------------------------------------------------------------------

BAD = {
    "regex: unclosed group": {"regex": "(a"},
    "regex: look-around": {"regex": "a(?=b)"},
    "regex: backreferences": {"regex": r"(a)\1"},
    "regex: no text can": {"regex": r"[^\s\S]"},
    "regex: 60,000 characters": {"regex": "a" * 60_000},
    "choices: 60,000 characters": {"choices": ("叶" * 60_000,)},
    "json_schema: Invalid type: strin": {"json_schema": {"type": "strin"}},
    "json_schema: Unimplemented keys": {"json_schema": {"not": {}}},
    "json_schema: Unsatisfiable": {
        "json_schema": {"allOf": [{"type": "string"}, {"type": "null"}]}
    },
    "json_schema: oneOf": {"json_schema": {"oneOf": [{"type": "integer"}, {"type": "number"}]}},
    "json_schema: multipleOf": {
        "json_schema": {"items": {"type": "integer", "multipleOf": 1_234_567}}
    },
    "json_schema: Resource 'http": {"json_schema": {"$ref": "http://localhost:9/schema"}},
    "json_schema: Resource 'file": {"json_schema": {"$ref": "file:///etc/passwd"}},
    "json_schema: ": {"json_schema": {"$ref": "#"}},
    "json_schema: not JSON": {"json_schema": {"minimum": float("nan")}},
    "give only one of regex and choices": {"regex": "a", "choices": "a"},
    "stop: with regex": {"regex": "a", "stop": ("a",)},
    "stop: with choices": {"choices": "a", "stop_token_ids": (7,)},
    "choices: give at least one, and none that is empty": {"choices": ()},
}


@pytest.mark.parametrize("complaint", BAD)
def test_a_constraint_that_cannot_be_is_one_clear_line(complaint: str) -> None:
    with pytest.raises(XinyeError) as caught:
        constraint_for(TOKENIZERS["bpe"], checked(Sampling, BAD[complaint], "test"))
    assert (
        complaint in str(caught.value)
        and "\n" not in str(caught.value)
        and len(str(caught.value)) < 300
    )


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize("depth", [100, 300, 900, 5000])
def test_deep_nesting_is_written_or_refused(depth: int) -> None:
    try:
        constraint_for(TOKENIZERS["bpe"], Sampling.model_construct(json_schema=nested(depth)))
    except XinyeError as error:
        assert "json_schema: " in str(error)


@pytest.mark.parametrize(
    "regex", ["(a{1000}){1000}", "(?:.|\n)*a(?:.|\n){30}", "(.*a){30}", "(" * 500 + ")" * 500]
)
def test_a_regular_expression_that_explodes_is_written_or_refused(regex: str) -> None:
    try:
        constraint = constraint_for(TOKENIZERS["char"], Sampling(regex=regex))
        assert constraint is not None
        for _ in range(50):
            constraint.accept(int(constraint.allowed().nonzero()[-1]))
    except XinyeError as error:
        assert "\n" not in str(error)


def test_one_text_whose_constraint_fails_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = TOKENIZERS["char"]
    engine = Engine(MODELS["char", 0], tokenizer)
    bad = start(tokenizer, "新", 512, Sampling(regex="a+", max_tokens=5))
    good = start(tokenizer, "新", 512, Sampling(regex="叶{5}b", max_tokens=9))
    engine.add(bad)
    engine.add(good)

    def fail() -> None:
        raise XinyeError("no token satisfies the constraint here")

    monkeypatch.setattr(bad.constraint, "allowed", fail)
    while engine.busy:
        engine.step()
    assert "no token satisfies" in str(bad.error) and (good.text, good.error) == (
        "叶叶叶叶叶b",
        None,
    )


REFERS = {
    "$ref": "#/$defs/leaf",
    "$defs": {
        "leaf": {
            "type": "object",
            "properties": {"叶": {"const": 1}},
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({}, {}, {"a": 1}),
        ({"properties": {"a": {"type": "string"}}}, {"a": "}\n</tool_call>\"叶"}, {"b": 1}),
        ({"properties": {}, "additionalProperties": True}, {"b": [1, None]}, []),
        ({"properties": {"a": {"const": "// # %json {"}}}, {"a": "// # %json {"}, {"a": "//"}),
        (REFERS, {"叶": 1}, {"叶": 2}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("required", [True, False])
def test_arguments_follow_their_schema(
    schema: Schema, right: Any, wrong: Any, required: bool
) -> None:
    tools = Tools(HERMES, {"other": REFERS, "price": schema}, required)
    tokenizer = TOKENIZERS["bpe"]

    def fits(text: str) -> bool:
        constraint = constraint_for(tokenizer, ToolSampling(tools=tools))
        assert constraint is not None
        for token in tokenizer.encode(text):
            if not constraint.allowed()[token]:
                return False
            constraint.accept(token)
        return bool(constraint.allowed()[tokenizer.eos_id])

    assert fits(HERMES.text("price", right)) and fits(
        f"{HERMES.text('price', right)}\n{HERMES.text('other', {})}"
    )
    assert not fits(HERMES.text("price", wrong)) and not fits(HERMES.text("sell", right))
    assert fits(f"叶\n{HERMES.text('price', right)}\n叶") != required


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("special", [True, False])
def test_the_marks_of_calls_may_be_tokens(special: bool, required: bool) -> None:
    """Control tokens in some models, others in Qwen's. The model calls with these."""
    backend = tokenizers.Tokenizer.from_str(TOKENIZERS["bpe"].backend.to_str())
    (backend.add_special_tokens if special else backend.add_tokens)([*HERMES.marks])
    tokenizer = Tokenizer(backend)
    opening, end = map(backend.token_to_id, HERMES.marks)
    body = tokenizer.encode('\n{"name": "查价", "arguments": {}}\n')
    tools = Tools(HERMES, {"查价": {}}, required)
    constraint = constraint_for(tokenizer, ToolSampling(tools=tools))
    assert constraint is not None
    tokens = [*([] if required else tokenizer.encode("看")), opening, *body, end]
    for token in tokens:
        assert constraint.allowed()[token]
        constraint.accept(token)
    assert constraint.allowed()[tokenizer.eos_id]
    assert tokenizer.decode(tokens).endswith(HERMES.text("查价", {}))


@pytest.mark.parametrize("required", [True, False])
def test_an_answer_has_at_most_128_calls(required: bool) -> None:
    tools, tokenizer = Tools(HERMES, {"a": {}}, required), TOKENIZERS["bpe"]
    constraint = constraint_for(tokenizer, ToolSampling(tools=tools))
    assert constraint is not None
    call = tokenizer.encode(HERMES.text("a", {}))
    for number in range(128):
        assert not constraint.finished
        for token in [*(tokenizer.encode("\n") if number else []), *call]:
            constraint.accept(token)
    assert constraint.finished


@pytest.mark.parametrize("schema", [
    {"properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"], "$defs": {"a": {"$ref": "#/$defs/a"}}},
    {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
], ids=["refers to itself", "never ends"])  # fmt: skip
def test_a_dead_end_is_an_error_and_no_end(schema: Schema) -> None:
    """The text so far is not JSON, so it must not pass for complete."""
    sampling = Sampling(json_schema={"type": "object", **schema}, temperature=0)
    tokenizer = TOKENIZERS["bpe"]
    constraint = constraint_for(tokenizer, sampling)
    assert constraint is not None
    with pytest.raises(XinyeError, match=r"no text can satisfy it|never ends"):
        for token in tokenizer.encode('{"a": {"a": {"a": 1'):
            assert constraint.allowed()[token] and not constraint.allowed()[tokenizer.eos_id]
            constraint.accept(token)
