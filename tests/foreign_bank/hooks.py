"""What schemathesis needs to know that no description can say: how a call is signed, and what 202 means.

The signature is made over the bytes that leave, so it is added last, by the HTTP client.
"""

import os

import schemathesis
from schemathesis import GenerationMode
from server import signed_headers

SECRET = os.environ["WEIKEFU_API_SECRET"]
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")

# Rules that JSON Schema has no word for: what is refused by these is no fault of the description.
BEYOND_SCHEMAS = (
    "occurred_at: is more than 24 hours ahead",
    "amount has more decimals than its currency",
    "amount is too large",
    "merchant: is missing",
    "customer_id: must have at most 64 bytes",
    "customer_id: is no usable id",
    "openid: is no usable id",
    "account is not configured",
    "card_id is 1 to 64 bytes",
    "card_id occurs twice",
    "must be an RFC 3339 time",
)


def sign(request):
    body = request.body or b""
    request.headers.update(signed_headers(SECRET, body if request.method == "POST" else b""))
    return request


@schemathesis.auth()
class Signature:
    """Marks a call as one to be signed; a test that leaves the signature out is left alone."""

    def get(self, case, context):
        return sign

    def set(self, case, data, context):
        for header in HEADERS:
            case.headers[header] = "to be signed"


@schemathesis.hook
def before_call(context, case, kwargs):
    if all(case.headers.get(header) == "to be signed" for header in HEADERS):
        kwargs["auth"] = sign


@schemathesis.check
def every_item_gets_what_its_schema_promises(context, response, case):
    """A body that fits is taken whole; of one that does not, what is wrong is told item by item."""
    if response.status_code != 202 or case.meta is None or case.body is None:
        return
    answer = response.json()
    body = [info for kind, info in case.meta.components.items() if kind.value == "body"]
    if not body:
        return
    rejected = [item["error"] for item in answer["rejected"]]
    if body[0].mode == GenerationMode.POSITIVE:
        unexpected = [error for error in rejected if not any(rule in error for rule in BEYOND_SCHEMAS)]
        assert not unexpected, f"a body that fits its schema was rejected: {unexpected}"
    elif case.media_type == "application/json" and case.body != []:
        assert rejected, "a body that does not fit its schema was taken whole"
