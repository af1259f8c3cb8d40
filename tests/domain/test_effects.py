import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.domain.effects import Effect, Held, compare
from authsvc.domain.permissions import PULL, PUSH, Grant

READS, WRITES = frozenset({PULL}), frozenset({PULL, PUSH})


def grant(rights=READS, pattern: str = "", ends_at: int | None = None) -> Grant:
    return Grant("some", rights, "acme", pattern, ends_at)


GRANTS = st.lists(
    st.builds(
        grant,
        st.sampled_from([READS, WRITES]),
        st.sampled_from(["", "acme/*", "acme/web", "acme/**"]),
        st.sampled_from([None, 5, 9]),
    ),
    max_size=3,
)


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ([], [], Effect((), ())),
        ([], [grant()], Effect((Held(PULL, "", None),), ())),
        ([grant()], [], Effect((), (Held(PULL, "", None),))),
        ([grant()], [grant(WRITES)], Effect((Held(PUSH, "", None),), ())),
        ([grant(WRITES)], [grant()], Effect((), (Held(PUSH, "", None),))),
        ([grant(), grant(WRITES)], [grant(WRITES)], Effect((), ())),
        ([grant(pattern="acme/web")], [grant()], Effect((Held(PULL, "", None),), ())),
        ([grant()], [grant(pattern="acme/web")], Effect((), (Held(PULL, "", None),))),
        ([grant()], [grant(), grant(pattern="acme/web")], Effect((), ())),
        ([grant(pattern="acme/**")], [grant(pattern="acme/**"), grant(pattern="acme/web-*")], Effect((), ())),
        ([grant()], [grant(ends_at=9)], Effect((), (Held(PULL, "", None),))),
        ([grant(ends_at=5)], [grant(ends_at=9)], Effect((Held(PULL, "", 9),), ())),
        ([grant(ends_at=9)], [grant(ends_at=5)], Effect((), (Held(PULL, "", 9),))),
        ([], [grant(ends_at=5), grant()], Effect((Held(PULL, "", None),), ())),
    ],
)
def test_an_effect_is_what_is_held_and_was_not_or_was_and_is_not(before, after, effect):
    assert compare(before, after) == effect


@given(GRANTS)
def test_the_same_has_no_effect(grants):
    assert not compare(grants, [*grants, *grants])


@given(GRANTS, GRANTS)
def test_the_way_back_has_the_opposite_effect(before, after):
    there, back = compare(before, after), compare(after, before)
    assert (there.gained, there.lost) == (back.lost, back.gained)


@given(GRANTS, GRANTS)
def test_what_is_only_added_takes_nothing(before, more):
    assert compare(before, [*before, *more]).lost == ()
