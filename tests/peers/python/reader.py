"""The reader function as LaunchDarkly's Python SDK makes it: daemon mode over a DynamoDB table, or
over the Relay Proxy's Redis.

Serves the Lambda Runtime API: an event {"context": {...}, "flag": KEY} asks for one flag, one
without "flag" for all. Table, prefix and endpoint come from the same variables as our reader's;
where REDIS_URL is set, flags come uncached from that Redis, below REDIS_PREFIX.
"""

import http.client
import json
import logging
import os

import ldclient
from ldclient import Config, Context, LDClient
from ldclient.feature_store import CacheConfig
from ldclient.integrations import DynamoDB, Redis

INVOCATION = "/2018-06-01/runtime/invocation/"


def make_store():
    if "REDIS_URL" in os.environ:
        return Redis.new_feature_store(
            url=os.environ["REDIS_URL"],
            prefix=os.environ["REDIS_PREFIX"],
            caching=CacheConfig.disabled(),
        )
    return DynamoDB.new_feature_store(
        os.environ["LAUNCHDARKLY_DYNAMODB_TABLE"],
        prefix=os.environ.get("LAUNCHDARKLY_DYNAMODB_PREFIX"),
        dynamodb_opts={"endpoint_url": os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")},
    )


def make_client():
    return LDClient(Config("sdk-key", feature_store=make_store(), use_ldd=True, send_events=False))


def answer(client, event):
    context = Context.from_dict(event["context"])
    if "flag" in event:
        key = event["flag"]
        detail = client.variation_detail(key, context, event.get("default"))
        return {
            "flag": key,
            "value": detail.value,
            "variation": detail.variation_index,
            "reason": detail.reason,
        }
    state = client.all_flags_state(context, with_reasons=True).to_json_dict()
    details = state.pop("$flagsState")
    if not state.pop("$valid"):
        raise RuntimeError("the SDK could not read the store")
    return {
        "flags": {
            key: {
                "value": value,
                "variation": details[key].get("variation"),
                "reason": details[key].get("reason"),
                "version": details[key].get("version"),
            }
            for key, value in state.items()
        }
    }


def serve(client):
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        runtime.request("GET", INVOCATION + "next")
        invocation = runtime.getresponse()
        event = json.loads(invocation.read())
        request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            outcome, body = "response", answer(client, event)
        except Exception as error:
            outcome, body = "error", {"errorType": type(error).__name__, "errorMessage": str(error)}
        payload = json.dumps(body).encode()
        runtime.request("POST", f"{INVOCATION}{request_id}/{outcome}", payload)
        runtime.getresponse().read()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    ldclient.log.setLevel(logging.ERROR)
    serve(make_client())
