"""Configurations are checked before anybody sees them."""

from __future__ import annotations

import pytest

from curate.annotators.tasks import Custom, config_problems, read_config
from curate.errors import InputError, UnknownNameError

TEXT = '<Text name="t" value="$text"/>'
CHOICES = '<Choices name="c" toName="t"><Choice value="a"/><Choice value="b" alias="B"/></Choices>'


def test_a_sound_configuration_is_read() -> None:
    config = read_config(
        f'<View>{TEXT}{CHOICES}<Image name="i" value="$img"/><Number name="n" toName="i,t" min="0" max="2"/>'
        '<Repeater on="$parts" indexFlag="{{k}}"><Text name="p_{{k}}" value="$parts[{{k}}].x"/>'
        '<Rating name="r_{{k}}" toName="p_{{k}}" maxRating="3"/></Repeater></View>'
    )
    assert list(config.controls) == ["c", "n", "r_{{k}}"]
    assert config.controls["c"].values == ("a", "B")
    assert config.controls["n"].to == ("i", "t")
    assert config.fields == ("text", "img", "parts") and config.media == ("img",)
    control, index = config.find("r_12")
    assert (control.name, index, control.about(index)) == ("r_{{k}}", 12, "p_12")
    with pytest.raises(UnknownNameError, match="r_x"):
        config.find("r_x")


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<View>", "no well-formed XML"),
        (f"<View>{TEXT}</View>", "no control"),
        (f"<View>{TEXT}<Choises/>{CHOICES}</View>", "unknown tag <Choises>"),
        (f"<View>{CHOICES}</View>", "about 't', which is shown nowhere"),
        (f"<View>{TEXT}{CHOICES}{CHOICES}</View>", "two tags are named 'c'"),
        (f"<View>{TEXT}<Choices toName='t'><Choice value='a'/></Choices></View>", "has no name"),
        (f"<View>{TEXT}<Choices name='c'><Choice value='a'/></Choices></View>", "no toName"),
        (f"<View>{TEXT}<Choices name='c' toName='t'/></View>", "nothing to choose from"),
        (
            f"<View>{TEXT}<Choices name='c' toName='t'><Choice value='a'/><Choice value='a'/></Choices></View>",
            "'a' twice",
        ),
        (f"<View>{TEXT}<Choices name='c' toName='t'><Choice value='$a'/></Choices></View>", r"begin with \$"),
        (f"<View><Text name='t' value='text'/>{CHOICES}</View>", "shows no field"),
        (f"<View>{TEXT}<Rating name='r' toName='t' maxRating='x'/></View>", "maxRating"),
        (f"<View>{TEXT}<Repeater on='parts'/>{CHOICES}</View>", "runs over a field"),
        (f"<View>{TEXT}<Repeater on='$p'>{CHOICES}</Repeater></View>", "must hold {{idx}}"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><View/>", "DOCTYPE"),
        ("<View>" + "x" * (1 << 20) + "</View>", "characters long"),
    ],
)
def test_what_is_wrong_is_said(xml: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config(xml)
    with pytest.raises(InputError, match=message):
        Custom(xml)


def test_everything_wrong_is_said_at_once() -> None:
    problems = config_problems("<View><Foo/><Choices name='c' toName='x'/></View>")
    assert len(problems) == 3


def test_comments_are_allowed_and_options_may_come_from_the_task() -> None:
    config = read_config(
        f"<View><!-- ask --><!-- why -->{TEXT}<Choices name='c' toName='t' value='$o'/></View>"
    )
    control = config.controls["c"]
    assert control.field == "o" and control.allowed({"o": ["x", {"value": "y", "alias": "z"}]}) == ("x", "z")
    assert control.allowed({}) is None
