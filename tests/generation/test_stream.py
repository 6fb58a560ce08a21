"""What a stream shows is the text, in whole characters, up to the first stop string."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from xinye.generation.stream import TextStream

TEXTS = st.text(
    st.one_of(st.sampled_from("新叶🙂é a\n"), st.characters(exclude_categories=["Cs"])), max_size=20
)
CUTS = st.lists(st.integers(0, 80), max_size=30)


def streamed(data: bytes, cuts: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    """The pieces shown for these bytes, cut into tokens at these places; reading ends where a stop
    string was found."""
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    table = [data[start:end] for start, end in pairwise(borders)]
    stream, pieces = TextStream(table, stop), []
    for token in range(len(table)):
        pieces.append(stream.push(token))
        if stream.stopped:
            break
    return [*pieces, stream.finish()]


@settings(deadline=None)
@given(text=TEXTS, cuts=CUTS)
def test_the_pieces_are_the_text_in_whole_characters(text: str, cuts: list[int]) -> None:
    pieces = streamed(text.encode(), cuts)
    assert "".join(pieces) == text
    assert sum(piece.count("\ufffd") for piece in pieces) == text.count("\ufffd")


@settings(deadline=None)
@given(
    data=st.one_of(st.binary(max_size=12), TEXTS.map(lambda text: text.encode()[1:-1])), cuts=CUTS
)
def test_bytes_that_are_no_text_become_replacement_characters(data: bytes, cuts: list[int]) -> None:
    assert "".join(streamed(data, cuts)) == data.decode("utf-8", "replace")


@settings(deadline=None)
@given(text=TEXTS, cuts=CUTS)
def test_without_a_stop_string_only_incomplete_characters_are_held_back(
    text: str, cuts: list[int]
) -> None:
    data, shown, read = text.encode(), "", 0
    stream = TextStream([bytes([byte]) for byte in range(256)])
    for byte in data:
        shown, read = shown + stream.push(byte), read + 1
        assert shown == data[:read].decode("utf-8", "ignore")


# Few characters, so that stop strings occur, begin without ending, and overlap themselves and each
# other.
FEW = st.text("新叶a", max_size=14)
STOP = st.text("新叶a", min_size=1, max_size=4)


@settings(deadline=None)
@given(text=FEW, stop=STOP, cuts=CUTS)
@example(text="aa新aa叶", stop="aa叶", cuts=[2, 4])
def test_a_stop_string_ends_the_text_and_is_never_shown(
    text: str, stop: str, cuts: list[int]
) -> None:
    shown = ""
    for piece in streamed(text.encode(), cuts, (stop,)):
        shown += piece
        assert text.partition(stop)[0].startswith(shown)
    assert shown == text.partition(stop)[0]


@settings(deadline=None)
@given(text=FEW, stop=st.lists(STOP, min_size=2, max_size=3).map(tuple), cuts=CUTS)
@example(text="新叶aa", stop=("新叶aa", "叶a"), cuts=[])
def test_where_tokens_are_cut_does_not_change_where_several_stop_strings_end_a_text(
    text: str, stop: tuple[str, ...], cuts: list[int]
) -> None:
    shown = "".join(streamed(text.encode(), cuts, stop))
    assert shown == "".join(streamed(text.encode(), list(range(80)), stop))
    assert not any(each in shown for each in stop)


def test_the_beginning_of_a_stop_string_is_shown_when_the_text_ends_there() -> None:
    assert streamed("新叶##".encode(), [3, 6, 7], ("###",)) == ["新", "叶", "", "", "##"]


def test_an_empty_stop_string_stops_nothing() -> None:
    assert "".join(streamed("新叶".encode(), [3], ("",))) == "新叶"
