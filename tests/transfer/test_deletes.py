"""DeleteObjects: what is sent, and what its answers mean for each key."""

from __future__ import annotations

import base64
import hashlib
import zlib
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest

from s3accel.errors import AccessDenied, ConfigError, ConnectionLost, S3Error
from s3accel.transfer.messages import Headers, Response


class Server:
    """Deletes everything, except what ``say(key)`` gives a code for ("" for no word at all)."""

    def __init__(self, say=lambda key: None, whole=None):
        self.say = say
        self.whole = whole
        self.batches = []
        self.single = []

    def send(self, request):
        if request.method == "DELETE":
            self.single.append(request.url)
            return Response(204, Headers())
        body = b"".join(request.body.frames())
        headers = {name.lower(): value for name, value in request.headers}
        assert request.url.endswith("?delete=") or request.url.endswith("?delete")
        assert headers["content-md5"] == base64.b64encode(hashlib.md5(body).digest()).decode()
        assert (
            headers["x-amz-checksum-crc32"] == base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        )
        assert hashlib.sha256(body).hexdigest() == headers["x-amz-content-sha256"]
        if self.whole is not None:
            answer = self.whole.pop(0) if self.whole else None
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                return answer
        keys = [item.text or "" for item in ElementTree.fromstring(body).iter() if item.tag.endswith("Key")]
        self.batches.append(keys)
        lines = []
        for key in keys:
            code = self.say(key)
            name = f"<Key>{escape(key)}</Key>"
            if code is None:
                lines.append(f"<Deleted>{name}</Deleted>")
            elif code:
                lines.append(f"<Error>{name}<Code>{code}</Code><Message>no &amp; no</Message></Error>")
        xml = f"<DeleteResult xmlns='urn:x'>{''.join(lines)}</DeleteResult>"
        return Response(200, Headers(), xml.encode())


def test_a_thousand_to_a_request_and_read_as_needed(new_client):
    server, taken = Server(), []

    def keys():
        for number in range(9_500):
            taken.append(number)
            yield f"k{number}"

    outcomes = new_client(transport=server).delete_many("bkt", keys())
    assert taken == []
    assert next(outcomes).key == "k0"
    assert len(taken) <= 5_000
    assert [outcome.key for outcome in outcomes] == [f"k{number}" for number in range(1, 9_500)]
    assert sorted(map(len, server.batches)) == [500] + [1_000] * 9


def test_every_character_gets_there(new_client):
    keys = ["<&>\"'", "]]>", " lead", "tail\n", "\t", "é", "\U0001f600", "c\r", "n\x00ul", "\x1f", "\ufffe"]
    server = Server()
    outcomes = list(new_client(transport=server).delete_many("bkt", keys))
    assert all(outcome.deleted for outcome in outcomes)
    assert server.batches == [keys[:7]]
    assert [url.rpartition("/")[2] for url in server.single] == ["c%0D", "n%00ul", "%1F", "%EF%BF%BE"]


def test_what_s3_says_of_each_key(new_client):
    said = {"bad": "AccessDenied", "lost": ""}
    server = Server(said.get)
    outcomes = {
        o.key: o for o in new_client(transport=server).delete_many("bkt", ["a", "bad", "lost", "a", ""])
    }
    assert outcomes["a"].deleted
    assert "no & no" in str(outcomes["bad"].error)
    assert isinstance(outcomes["bad"].error, S3Error)
    assert "did not say" in str(outcomes["lost"].error)
    assert isinstance(outcomes[""].error, ConfigError)


def test_keys_that_fail_for_now_are_tried_again(new_client):
    left = {"a": 2, "b": 9}

    def say(key):
        left[key] = left.get(key, 0) - 1
        return "InternalError" if left[key] >= 0 else None

    server = Server(say)
    outcomes = {o.key: o for o in new_client(transport=server).delete_many("bkt", ["a", "b", "c"])}
    assert (outcomes["a"].deleted, outcomes["b"].deleted, outcomes["c"].deleted) == (True, False, True)
    assert server.batches == [["a", "b", "c"], ["a", "b"], ["a", "b"]]


def test_a_request_that_fails_is_the_outcome_of_its_keys(new_client):
    server = Server(whole=[ConnectionLost("lost", phase="send"), Response(403, Headers())])
    outcomes = list(new_client(transport=server).delete_many("bkt", ["a", "b"]))
    assert [type(outcome.error) for outcome in outcomes] == [AccessDenied] * 2
    assert server.batches == []


def test_one_text_is_no_list_of_keys(new_client):
    with pytest.raises(ConfigError, match="one text"):
        new_client(transport=Server()).delete_many("bkt", "key")
