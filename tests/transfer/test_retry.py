"""What is tried again, after which fix, after how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3accel.errors import (
    AccelerationUnavailable,
    ChecksumMismatch,
    ConfigError,
    ConnectError,
    ConnectionLost,
    S3Error,
    SourceError,
    TlsError,
    TransferTimeout,
)
from s3accel.transfer.attempts import Attempts, History
from s3accel.transfer.retry import RetryPolicy, Verdict, classify


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (S3Error("InternalError", 500), True),
        (S3Error("InternalError", 200), True),
        (S3Error("502", 502), True),
        (S3Error("503", 503), True),
        (S3Error("504", 504), True),
        (S3Error("429", 429), True),
        (S3Error("SlowDown", 503), True),
        (S3Error("ServiceUnavailable", 503), True),
        (S3Error("RequestTimeout", 400), True),
        (S3Error("OperationAborted", 409), True),
        (S3Error("ConditionalRequestConflict", 409), True),
        (S3Error("BadDigest", 400), True),
        (S3Error("IncompleteBody", 400), True),
        (S3Error("XAmzContentSHA256Mismatch", 400), True),
        (ConnectError("x"), True),
        (ConnectionLost("x"), True),
        (TransferTimeout("x"), True),
        (TlsError("x", retryable=False), False),
        (S3Error("SignatureDoesNotMatch", 403), False),
        (S3Error("InvalidAccessKeyId", 403), False),
        (S3Error("AccessDenied", 403), False),
        (S3Error("403", 403), False),
        (S3Error("NoSuchBucket", 404), False),
        (S3Error("InvalidArgument", 400), False),
        (S3Error("MalformedTrailerError", 400), False),
        (S3Error("InvalidChunkSizeError", 403), False),
        (S3Error("EntityTooSmall", 400), False),
        (S3Error("NotImplemented", 501), False),
        (S3Error("PermanentRedirect", 301), False),
        (AccelerationUnavailable("InvalidRequest", 400), False),
        (SourceError("x"), False),
        (ChecksumMismatch("x"), False),
        (ConfigError("x"), False),
        (RuntimeError("x"), False),
    ],
)
def test_yes_or_no(error, retry):
    verdict = classify(error)
    assert verdict.retry is retry
    assert verdict.reason
    assert not verdict.fix


def test_fixes_are_made_once():
    skewed = S3Error("RequestTimeTooSkewed", 403)
    assert classify(skewed).fix == "clock"
    assert not classify(skewed, fixed={"clock"}).retry
    expired = S3Error("ExpiredToken", 400)
    assert classify(expired).fix == "credentials"
    assert not classify(expired, fixed={"credentials"}).retry
    elsewhere = S3Error("AuthorizationHeaderMalformed", 400, extra={"Region": "eu-west-1"})
    assert classify(elsewhere, region="us-east-1").fix == "region"
    assert not classify(elsewhere, region="us-east-1", fixed={"region"}).retry
    assert not classify(elsewhere, region="eu-west-1").retry
    damaged = S3Error("BadDigest", 400)
    assert classify(damaged).once
    assert not classify(damaged, fixed={"BadDigest"}).retry


@pytest.mark.parametrize("code", ["301", "400", "PermanentRedirect", "IllegalLocationConstraintException"])
def test_head_shows_the_region_in_a_header_only(code):
    assert classify(S3Error(code, 301, extra={"Region": "eu-west-1"}), region="us-east-1").fix == "region"


def test_access_denied_in_another_region_is_still_denied():
    assert not classify(S3Error("AccessDenied", 403, extra={"Region": "eu-west-1"}), region="us-east-1").retry


def test_a_body_that_cannot_be_read_again_is_not_sent_again():
    verdict = classify(S3Error("InternalError", 500), rewindable=False)
    assert not verdict.retry
    assert "only once" in verdict.reason


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.booleans())
def test_delays_are_bounded_and_jittered(attempt, fraction, throttled):
    policy = RetryPolicy()
    verdict = Verdict(True, "x", throttled=throttled)
    delay = policy.delay(attempt, verdict, fraction)
    assert 0 <= delay <= policy.max_delay
    assert policy.delay(attempt, verdict, 0.0) == 0
    base = policy.throttle_delay if throttled else policy.base_delay
    assert delay <= base * 2 ** (attempt - 1)


def test_retry_after_is_heeded_within_reason():
    policy = RetryPolicy()
    verdict = classify(S3Error("SlowDown", 503, extra={"Retry-After": "7"}))
    assert policy.delay(1, verdict, 0.0) == 7
    assert policy.delay(1, classify(S3Error("SlowDown", 503, extra={"Retry-After": "9999"})), 0.5) == 20
    assert policy.delay(1, classify(S3Error("SlowDown", 503, extra={"Retry-After": "soon"})), 0.0) == 0


def test_fixes_are_not_waited_for():
    assert RetryPolicy().delay(1, Verdict(True, "x", fix="clock"), 0.9) == 0


@pytest.mark.parametrize("options", [{"max_attempts": 0}, {"base_delay": -1}, {"max_delay": -1}])
def test_policies_that_cannot_be(options):
    with pytest.raises(ConfigError):
        RetryPolicy(**options)


def run(errors, policy=None, fix=lambda verdict, error: True):
    """The loop over a call that raises ``errors`` one after the other, then succeeds."""
    slept: list[float] = []
    careful: list[bool] = []
    history = History()
    attempts = Attempts(policy or RetryPolicy(), sleep=slept.append, chance=lambda: 0.5)
    left = list(errors)

    def call(attempt):
        careful.append(attempt.careful)
        if left:
            raise left.pop(0)
        return "ok"

    try:
        result = attempts.run(call, fix=fix, region=lambda: "us-east-1", history=history)
    except Exception as error:
        result = error
    return result, history, slept, careful


def test_the_loop_backs_off_and_gives_up():
    error = S3Error("InternalError", 500)
    result, history, slept, _ = run([error] * 5)
    assert result is error
    assert history.attempts == 3
    assert slept == [0.05, 0.1]
    assert history.summary() == "500 InternalError (twice)"


def test_the_loop_succeeds_after_different_failures():
    result, history, slept, careful = run([ConnectionLost("a", phase="send"), S3Error("SlowDown", 503)])
    assert result == "ok"
    assert history.attempts == 3
    assert slept == [0.05, 1.0]
    assert careful == [False, True, False]


def test_fixes_do_not_use_up_attempts():
    errors = [S3Error("RequestTimeTooSkewed", 403), *[S3Error("InternalError", 500)] * 2]
    result, history, slept, _ = run(errors)
    assert result == "ok"
    assert history.attempts == 4
    assert slept == [0.05, 0.1]


def test_a_fix_that_cannot_be_made_ends_it():
    error = S3Error("ExpiredToken", 400)
    result, history, _, _ = run([error], fix=lambda verdict, error: False)
    assert result is error
    assert history.attempts == 1


def test_damage_is_repaired_once():
    error = S3Error("BadDigest", 400)
    result, history, _, _ = run([error, error])
    assert result is error
    assert history.attempts == 2
