"""A bank that writes no signing code: the calls of `/api/v1` by the Python library of Standard Webhooks.

Usage: python calls.py BINARY
"""

import json
import sys
import time
from datetime import datetime, timedelta, timezone

from server import Server, WAIT_S, signed_headers
from standardwebhooks.webhooks import Webhook

TRANSACTIONS = "/api/v1/transactions"
NOTICES = "/api/v1/notices"
BINDINGS = "/api/v1/bindings"


def swipe(transaction_id, **members):
    return {
        "transaction_id": transaction_id, "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": {"value": "128.50", "currency": "CNY"}, "merchant": {"name": "星河咖啡 \"东门店\" <b>😀"},
        "channel": "pos", "occurred_at": datetime.now(tz=timezone.utc).isoformat(), **members,
    }


def body(value):
    return json.dumps(value, ensure_ascii=False).encode()


def equal(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: got {got!r}, wanted {wanted!r}")


def the_library_is_the_specification():
    """The published vector, so that it is known what speaks here."""
    moment = datetime.fromtimestamp(1614265330, tz=timezone.utc)
    signed = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", moment, '{"test": 2432232314}'
    )
    equal("vector", signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")


def both_secrets_open_the_door_and_nothing_else(server):
    for number, key in enumerate(server.secrets):
        status, _, answer = server.call("POST", TRANSACTIONS, body(swipe(f"R{number}")), key=key)
        equal("rotation", (status, answer["accepted"]), (202, 1))
    other = "whsec_" + "A" * 32
    equal("another secret", server.call("POST", TRANSACTIONS, body(swipe("R9")), key=other)[0], 401)
    one = signed_headers(server.secrets[0], body(swipe("R8")))
    equal("another body", server.call("POST", TRANSACTIONS, body(swipe("R9")), headers=one)[0], 401)
    for minutes in (-6, 6):
        moment = datetime.now(tz=timezone.utc) + timedelta(minutes=minutes)
        stale = signed_headers(server.secrets[0], body(swipe("R9")), moment=moment)
        equal("stale", server.call("POST", TRANSACTIONS, body(swipe("R9")), headers=stale)[0], 401)
    item = body(swipe("R2"))
    several = signed_headers(server.secrets[1], item)
    several["webhook-signature"] = f"v1a,AAAA v1,AAAA {several['webhook-signature']}"
    equal("several signatures", server.call("POST", TRANSACTIONS, item, headers=several)[0], 202)


def one_many_and_lines_are_taken_and_a_repeat_gets_the_stored_answer(server):
    equal("one", server.call("POST", TRANSACTIONS, body(swipe("A1")))[2], taken(1))
    many = body([swipe("A2"), swipe("A3"), swipe("A2"), {"transaction_id": "A4"}])
    headers = signed_headers(server.secrets[0], many)
    status, _, first = server.call("POST", TRANSACTIONS, many, headers=headers)
    equal("many", (status, first["accepted"], first["duplicates"]), (202, 2, 1))
    equal("rejected", (first["rejected"][0]["index"], first["rejected"][0]["transaction_id"]), (3, "A4"))
    again = server.call("POST", TRANSACTIONS, many, headers=headers)
    equal("the stored answer", (again[0], again[2]), (202, first))
    lines = b"\n".join(body(swipe(name)) for name in ("A5", "A6")) + b"\n"
    answer = server.call("POST", TRANSACTIONS, lines, content_type="application/x-ndjson")
    equal("lines", answer[2], taken(2))
    equal("neither", server.call("POST", TRANSACTIONS, b"<xml/>")[0], 400)
    equal("too many", server.call("POST", TRANSACTIONS, body([{}] * 1001))[0], 413)


def an_item_can_be_asked_for_and_a_captured_question_does_not_return(server):
    path = f"{TRANSACTIONS}/A1"
    headers = signed_headers(server.secrets[0], b"")
    until = time.monotonic() + WAIT_S
    while True:
        status, _, state = server.call("GET", path, headers=headers)
        equal("state", status, 200)
        equal("history", state["history"][0]["what"], "accepted")
        if state["state"] == "suppressed":
            break
        if time.monotonic() > until:
            raise SystemExit(f"no verdict: {state}")
        time.sleep(0.05)
        headers = signed_headers(server.secrets[0], b"")
    equal("reason", state["reason"], "no_binding")
    equal("captured", server.call("GET", path, headers=headers)[0], 401)
    equal("as DELETE", server.call("DELETE", f"{BINDINGS}/card/o1", headers=headers)[0], 401)
    equal("unknown", server.call("GET", f"{TRANSACTIONS}/none")[0], 404)


def notices_and_bindings_come_in_and_events_leave_genuine(server):
    notice = {"notice_id": "N1", "customer_id": "C10001", "kind": "bill_issued",
              "fields": {"amount": {"value": "1234.50", "currency": "CNY"}, "due_date": "2026-12-05"}}
    equal("notice", server.call("POST", NOTICES, body(notice))[2], taken(1))
    equal("its state", server.call("GET", f"{NOTICES}/N1")[0], 200)
    binding = {"account": "card", "openid": "oForeign/1", "customer_id": "C90001", "bound_at": "2026-01-01T00:00:00Z",
               "cards": [{"card_id": "K1", "last4": "1234", "product": "金卡"}]}
    equal("binding", server.call("POST", BINDINGS, body([binding]))[2], taken(1))
    equal("again", server.call("POST", BINDINGS, body([binding]))[2]["duplicates"], 1)
    equal("erasure", server.call("DELETE", f"{BINDINGS}/card/oForeign%2F1")[0], 204)
    wanted = {"bound", "unbound", "delivery"}
    until = time.monotonic() + WAIT_S
    while wanted and time.monotonic() < until:
        event = server.receiver.events.get(timeout=WAIT_S)
        wanted.discard(event["type"])
    equal("events that the library verified", (wanted, server.receiver.forged), (set(), 0))


def taken(count):
    return {"accepted": count, "duplicates": 0, "rejected": []}


def main():
    the_library_is_the_specification()
    stories = [
        both_secrets_open_the_door_and_nothing_else,
        one_many_and_lines_are_taken_and_a_repeat_gets_the_stored_answer,
        an_item_can_be_asked_for_and_a_captured_question_does_not_return,
        notices_and_bindings_come_in_and_events_leave_genuine,
    ]
    with Server(sys.argv[1]) as server:
        for story in stories:
            story(server)
            print(f"ok  {story.__name__.replace('_', ' ')}", flush=True)


if __name__ == "__main__":
    main()
