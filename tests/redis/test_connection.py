"""What error replies mean."""

import pytest
import redis.exceptions

from rediq_trio._errors import ConnectionLost
from rediq_trio.store.redis.connection.connection import ReplyError, translate_error


def test_a_script_that_meets_a_slot_on_the_move_may_have_been_carried_out() -> None:
    said = "Script attempted to access a non local key in a cluster node script: 72df, on @user_script:7."
    error = translate_error(redis.exceptions.ResponseError(said))
    assert isinstance(error, ConnectionLost)
    assert error.sent
    assert "a slot of the Cluster is moving" in str(error)


@pytest.mark.parametrize("code", ["LOADING", "TRYAGAIN", "OOM"])
def test_a_command_that_cannot_be_taken_now_was_not_carried_out(code: str) -> None:
    error = translate_error(redis.exceptions.ResponseError(f"{code} later"))
    assert isinstance(error, ConnectionLost)
    assert not error.sent


def test_any_other_reply_is_told_as_it_is() -> None:
    assert isinstance(translate_error(redis.exceptions.ResponseError("ERR what")), ReplyError)
