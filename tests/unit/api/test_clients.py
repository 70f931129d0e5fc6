"""What both clients do over a real connection."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_tavus.api import calls, errors
from airflow_provider_tavus.api.async_client import AsyncTavusClient
from airflow_provider_tavus.api.settings import ClientSettings
from airflow_provider_tavus.testing import Script, TavusBox

if TYPE_CHECKING:
    from pathlib import Path

GET = calls.get_conversation("c1", verbose=True)
QUICK = {"read_timeout": 0.3, "connect_timeout": 1.0}


@pytest.fixture(autouse=True)
def conversation(box: TavusBox) -> None:
    box.add(Script.finished(), conversation_id="c1", created_at=time.time() - 3600)


def test_a_conversation_is_read_with_its_events(send: Any) -> None:
    conversation = send(GET)

    assert conversation.status == "ended"
    assert {event.event_type for event in conversation.events} >= {"application.transcription_ready"}


def test_a_look_passes_over_what_was_said(send: Any) -> None:
    whole, look = send(calls.get_conversation("c1", verbose=True)), send(calls.look_at_conversation("c1"))

    ready = [event.event_type for event in whole.events].index("application.transcription_ready")
    assert [event.event_type for event in look.events] == [event.event_type for event in whole.events]
    assert whole.events[ready].properties["transcript"]
    assert not look.events[ready].properties


def test_without_verbose_there_are_no_events(send: Any, box: TavusBox) -> None:
    assert send(calls.get_conversation("c1")).events is None
    assert box.requests[-1].query == {}


def test_a_page_of_the_list_is_read(send: Any, box: TavusBox) -> None:
    page = send(calls.list_conversations(limit=5, status="ended"))

    assert [row.conversation_id for row in page.rows] == ["c1"]
    assert page.total_count == 1
    assert box.requests[-1].query == {"limit": "5", "page": "1", "status": "ended"}


def test_an_id_with_a_slash_stays_one_segment_of_the_path(send: Any, box: TavusBox) -> None:
    with pytest.raises(errors.UnknownConversationError):
        send(calls.get_conversation("c1/../c1"))
    assert box.count("get", status=200) == 0


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"status": 408}, id="408"),
        pytest.param({"status": 429}, id="429"),
        pytest.param({"status": 429, "retry_after": 0}, id="429 with Retry-After"),
        pytest.param({"status": 429, "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, id="429 until a date"),
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 502, "body": "upstream connect error"}, id="502 that is no JSON"),
        pytest.param({"kind": "html", "status": 503}, id="503 as HTML"),
        pytest.param({"kind": "html", "status": 200}, id="HTML under 200"),
        pytest.param({"kind": "not_json", "status": 200}, id="no JSON"),
        pytest.param({"status": 200, "body": ""}, id="empty"),
        pytest.param({"status": 200, "body": {}}, id="another JSON"),
        pytest.param({"kind": "cut"}, id="cut off"),
        pytest.param({"kind": "reset"}, id="reset"),
        pytest.param({"kind": "hang"}, id="no answer"),
        pytest.param({"kind": "drip", "seconds": 5}, id="dripping"),
    ],
)
def test_a_transient_fault_is_ridden_out(trouble: dict[str, Any], send: Any, box: TavusBox) -> None:
    box.trouble(route="get", times=1, **trouble)

    assert send(GET, **QUICK).conversation_id == "c1"
    assert box.count("get") == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (402, errors.OutOfCreditsError),
        (403, errors.PermissionDeniedError),
        (404, errors.UnknownConversationError),
        (422, errors.InvalidRequestError),
        (418, errors.UnexpectedStatusError),
        (304, errors.UnexpectedStatusError),
    ],
)
def test_a_refusal_ends_at_once(status: int, error: type[errors.ApiError], send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=status, body={"message": "no conversation"} if status >= 400 else "")

    with pytest.raises(error) as raised:
        send(GET)

    assert raised.value.status == status
    assert raised.value.conversation_id == "c1"
    assert f"{status} to GET /v2/conversations/c1" in str(raised.value)
    assert box.count("get") == 1


@pytest.mark.parametrize(
    ("trouble", "error", "says"),
    [
        ({"kind": "cut"}, errors.UnreadableAnswerError, "cut off"),
        ({"status": 200, "body": '{"conversation_id": "c1", "sta'}, errors.UnreadableAnswerError, "cut off"),
        ({"kind": "html", "status": 200}, errors.UnreadableAnswerError, "HTML, not JSON"),
        ({"status": 200, "body": "hello"}, errors.UnreadableAnswerError, "no JSON"),
        ({"status": 200, "body": ""}, errors.UnreadableAnswerError, "empty"),
        ({"status": 200, "body": []}, errors.UnreadableAnswerError, "not the JSON that the API documents"),
        ({"status": 200, "body": {"conversation_id": "c2"}}, errors.UnreadableAnswerError, "not the JSON"),
        ({"kind": "reset"}, errors.ConnectionFailedError, "could not be reached"),
        ({"kind": "hang"}, errors.AnswerTimeoutError, "in time"),
        ({"kind": "drip", "seconds": 5}, errors.AnswerTimeoutError, "in time"),
        ({"status": 500, "body": {"message": "no word of mine"}}, errors.ServerError, "answered 500"),
    ],
    ids=str,
)
def test_a_fault_that_stays_is_named(
    trouble: dict[str, Any], error: type[errors.TavusError], says: str, send: Any, box: TavusBox
) -> None:
    box.trouble(route="get", **trouble)

    with pytest.raises(error, match=says) as raised:
        send(GET, **QUICK, retries=1)

    assert raised.value.transient
    assert "no word of mine" not in str(raised.value)
    assert box.count("get") == 2


@pytest.mark.parametrize(
    "trouble",
    [
        {"kind": "html"},
        {"body": "nothing here"},
        {"body": ""},
        {"body": {}},
        {"body": {"message": "no Route matched with those values"}},
    ],
    ids=str,
)
def test_a_404_that_names_no_conversation_says_nothing_of_one(
    trouble: dict[str, Any], send: Any, box: TavusBox
) -> None:
    box.trouble(route="get", status=404, **trouble)

    with pytest.raises(errors.NotFoundError, match="host"):
        send(GET)


def test_an_unknown_conversation_is_told_from_other_bad_requests(send: Any) -> None:
    with pytest.raises(errors.UnknownConversationError, match="Invalid conversation_id"):
        send(calls.get_conversation("c404"))


def test_a_refused_connection_says_so(send: Any) -> None:
    with pytest.raises(errors.ConnectionFailedError):
        send(GET, base_url="http://127.0.0.1:1", retries=0)


def test_a_caller_who_comes_back_anyway_repeats_nothing(send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=500)

    with pytest.raises(errors.ServerError):
        send(GET, repeat=False)
    assert box.count("get") == 1


def test_no_more_is_sent_than_the_retries_allow(send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=500)

    with pytest.raises(errors.ServerError):
        send(GET, retries=2)
    assert box.count("get") == 3


def test_a_retry_after_beyond_the_cap_ends_the_call_and_is_told(send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=429, retry_after=3600)

    with pytest.raises(errors.RateLimitError) as raised:
        send(GET)
    assert raised.value.retry_after == 3600
    assert box.count("get") == 1


def test_a_retry_after_is_waited_for(send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=503, retry_after=1, times=1)

    send(GET)

    first, second = box.requests
    assert second.monotonic - first.monotonic >= 1


def test_a_redirect_is_not_followed_with_our_key(send: Any, box: TavusBox) -> None:
    with TavusBox.in_thread(api_key="another") as elsewhere:
        box.trouble(route="get", status=302, headers={"Location": f"{elsewhere.base_url}/v2/conversations/c1"}, body="")

        with pytest.raises(errors.UnexpectedStatusError, match="host"):
            send(GET)
        assert elsewhere.requests == []


@pytest.mark.parametrize("location", ["http://[bad", "http://tavus.example:port/", "http://\u00ad/", "//"])
def test_a_redirect_to_what_is_no_url_is_an_unexpected_status(location: str, send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=302, headers={"Location": location}, body="")

    with pytest.raises(errors.UnexpectedStatusError, match="Tavus answered 302"):
        send(GET)


def test_every_request_says_who_we_are(send: Any, box: TavusBox) -> None:
    send(GET)

    assert box.requests[-1].headers["user-agent"].startswith("airflow-provider-tavus/")


def test_calls_of_one_client_share_a_connection(send: Any, plain_server: Any) -> None:
    send(GET, GET, GET, base_url=plain_server.address)

    assert len(plain_server.targets) == 3
    assert plain_server.connections == 1


@pytest.mark.parametrize("compressed", [False, True])
def test_a_long_answer_in_chunks_is_read_whole(compressed: bool, send: Any, plain_server: Any) -> None:
    words = [str(number) for number in range(200_000)]
    plain_server.body |= {"words": words}
    plain_server.compressed = compressed

    assert send(GET, base_url=plain_server.address).words == words


def test_a_request_id_is_passed_on(send: Any, box: TavusBox) -> None:
    box.trouble(route="get", status=403, headers={"CF-Ray": "8f2a-FRA"}, body={"message": "no"})

    with pytest.raises(errors.PermissionDeniedError, match="request id 8f2a-FRA"):
        send(GET)


def test_a_proxy_carries_the_request(send: Any, plain_server: Any) -> None:
    send(GET, base_url="http://tavus.example", proxy=plain_server.address)

    assert plain_server.targets == ["http://tavus.example/v2/conversations/c1?verbose=true"]


def test_a_proxy_of_the_environment_needs_no_scheme(
    send: Any, plain_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", plain_server.address.removeprefix("http://"))
    monkeypatch.setenv("no_proxy", "")

    send(GET, base_url="http://tavus.example")

    assert plain_server.targets == ["http://tavus.example/v2/conversations/c1?verbose=true"]


@pytest.mark.parametrize("proxy", ["http://user:secret@proxy.example:port", "http://user:secret@[proxy"])
def test_a_proxy_that_cannot_be_parsed_is_told_without_its_password(proxy: str, send: Any) -> None:
    with pytest.raises(errors.ConnectionFailedError) as raised:
        send(GET, base_url="http://tavus.example", proxy=proxy, retries=0)

    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("login", ["user:%E2%82%AC", "%E2%82%AC:secret"])
def test_a_login_of_a_proxy_that_no_header_can_carry_is_told_as_what_it_is(
    login: str, send: Any, plain_server: Any
) -> None:
    proxy = plain_server.address.replace("://", f"://{login}@")
    with pytest.raises(errors.ConnectionFailedError, match="proxy"):
        send(GET, base_url="http://tavus.example", proxy=proxy, retries=0)
    assert not plain_server.targets


def test_nobody_is_sent_what_a_netrc_holds(
    send: Any, plain_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))

    send(GET, base_url=plain_server.address)

    assert "Authorization" not in plain_server.headers[0]
    assert plain_server.headers[0]["x-api-key"]


async def test_a_proxy_of_another_kind_is_refused_by_the_client_that_cannot_use_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "socks5://user:secret@proxy.example:1080")
    monkeypatch.setenv("no_proxy", "")

    with pytest.raises(errors.ConfigurationError, match="'socks5'") as raised:
        AsyncTavusClient(ClientSettings(api_key="k"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("named_by", ["ca_bundle", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_bundle_that_cannot_be_read_is_named_before_anything_is_sent(
    named_by: str, content: str | None, send: Any, box: TavusBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "corporate.pem"
    if content:
        bundle.write_text(content)
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    if named_by.isupper():
        monkeypatch.setenv(named_by, str(bundle))

    with pytest.raises(errors.ConfigurationError, match=f"corporate.pem', which .*{named_by}") as raised:
        send(GET, ca_bundle=None if named_by.isupper() else str(bundle))

    assert raised.value.undone
    assert not box.requests
    assert send(GET, ca_bundle=None if named_by.isupper() else str(bundle), verify=False).conversation_id == "c1"


def test_a_host_that_no_name_can_be_looked_up_of_is_a_connection_that_failed(send: Any) -> None:
    with pytest.raises(errors.ConnectionFailedError):
        send(GET, base_url="http://tavus..example.com", retries=0)


def test_a_certificate_is_checked_unless_the_connection_says_otherwise(send: Any, tls_server: Any) -> None:
    with pytest.raises(errors.ConnectionFailedError):
        send(GET, base_url=tls_server.address, retries=0)

    assert send(GET, base_url=tls_server.address, ca_bundle=tls_server.ca_bundle).conversation_id == "c1"
    assert send(GET, base_url=tls_server.address, verify=False).conversation_id == "c1"


def test_a_conversation_is_created_from_its_body(send: Any, box: TavusBox) -> None:
    created = send(calls.create_conversation({"face_id": "r1", "conversation_name": "A call", "require_auth": True}))

    assert box.conversation(created.conversation_id).name == "A call"
    assert created.meeting_token


def test_a_conversation_is_ended_and_deleted(send: Any, box: TavusBox) -> None:
    live = box.add(Script.active())

    assert send(calls.end_conversation(live)) is None
    assert box.conversation(live).is_over(box.clock.now())
    assert send(calls.delete_conversation(live, hard=True)) is None
    assert live not in box.world
    assert box.requests[-1].query == {"hard": "true"}
    assert send(calls.delete_conversation("c1", hard=False)) is None
    assert box.requests[-1].query == {}


def test_html_in_the_place_of_an_empty_answer_is_no_success(send: Any, box: TavusBox) -> None:
    box.trouble("html", status=200, route="end")

    with pytest.raises(errors.UnreadableAnswerError):
        send(calls.end_conversation("c1"), retries=0)


CREATE = calls.create_conversation({"face_id": "r1"})


@pytest.mark.parametrize(
    ("trouble", "undone"),
    [
        ({"status": 400, "body": {"error": "no"}}, True),
        ({"status": 401}, True),
        ({"status": 402}, True),
        ({"status": 403}, True),
        ({"status": 302, "body": ""}, False),
        ({"status": 408}, False),
        ({"status": 500}, False),
        ({"status": 504}, False),
        ({"kind": "lost_answer"}, False),
        ({"kind": "lost_answer", "hangs": True}, False),
        ({"kind": "reset"}, False),
        ({"kind": "hang"}, False),
        ({"kind": "cut"}, False),
        ({"kind": "drip", "seconds": 5}, False),
        ({"kind": "html", "status": 200}, False),
        ({"status": 200, "body": {}}, False),
    ],
    ids=str,
)
def test_a_create_that_may_have_been_done_is_not_sent_again(
    trouble: dict[str, Any], undone: bool, send: Any, box: TavusBox
) -> None:
    box.trouble(route="create", **trouble)

    with pytest.raises(errors.TavusError) as raised:
        send(CREATE, **QUICK)

    assert raised.value.undone is undone
    assert box.count("create") == 1


def test_a_create_that_was_refused_for_the_moment_is_sent_again(send: Any, box: TavusBox) -> None:
    box.trouble(route="create", status=429, retry_after=0, times=2)

    send(CREATE)

    assert box.count("create") == 3
    assert len(box.world) == 1 + 1


@pytest.mark.parametrize(
    "way",
    [
        {"base_url": "http://127.0.0.1:1"},
        {"base_url": "http://no-such-host.invalid"},
        {"proxy": "http://127.0.0.1:1"},
        {"base_url": "https://tavus.example", "proxy": "http://127.0.0.1:1"},
        {"base_url": "http://tavus..example.com"},
    ],
    ids=str,
)
def test_a_create_that_was_never_sent_is_known_to_be_undone(way: dict[str, str], send: Any) -> None:
    with pytest.raises(errors.ConnectionFailedError) as raised:
        send(CREATE, **way, retries=0)
    assert raised.value.undone


def test_a_create_that_a_certificate_or_a_proxy_kept_from_being_sent_is_known_to_be_undone(
    send: Any, tls_server: Any, box: TavusBox
) -> None:
    for way in ({}, {"ca_bundle": tls_server.ca_bundle, "proxy": box.base_url}):
        with pytest.raises(errors.ConnectionFailedError) as raised:
            send(CREATE, base_url=tls_server.address, **way, retries=0)
        assert raised.value.undone


@pytest.mark.parametrize("words", ["Not Found - {path}", "The route {path} could not be found.", "Cannot GET {path}"])
def test_a_404_that_repeats_the_path_says_nothing_of_the_conversation(words: str, send: Any, box: TavusBox) -> None:
    for path in ("/v2/conversations/c1", "v2/conversations/c1"):
        box.trouble(status=404, body={"message": words.format(path=path)}, times=1)
        with pytest.raises(errors.NotFoundError):
            send(GET)


@pytest.mark.parametrize("prompt", ["Be kind.", "The Growth plan allows 15 concurrent conversations."])
def test_the_limit_of_the_plan_is_told_from_other_bad_requests(prompt: str, send: Any, box: TavusBox) -> None:
    box.account.concurrency_limit = 0

    with pytest.raises(errors.ConcurrencyLimitError, match="raise its plan") as raised:
        send(calls.create_conversation({"face_id": "r1", "conversational_context": prompt}))
    assert raised.value.undone
    assert box.count("create") == 1


def test_a_body_shows_in_no_repr() -> None:
    assert "secret" not in repr(calls.create_conversation({"callback_url": "https://example.com/secret"}))
