"""webhook.py API URL NAME POLICY-FILE: makes sure that LaunchDarkly has this webhook; the secret comes on stdin.

One that goes to the same URL is brought up to this policy and secret, so running it twice changes nothing. The access
token is LD_API_KEY. REST API: LaunchDarkly's reference, "Webhooks". Prints one line; exit code 1 with a reason otherwise.
"""

import json
import os
import sys
import urllib.error
import urllib.request


def ask(api, method, path, body=None):
    request = urllib.request.Request(
        api.rstrip("/") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": os.environ["LD_API_KEY"].strip(), "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def same(one, other):
    return (one or "").rstrip("/") == other.rstrip("/")


def connect(api, url, name, policy, secret):
    wanted = {"on": True, "sign": bool(secret), "statements": policy}
    if secret:
        wanted["secret"] = secret
    there = [item for item in ask(api, "GET", "/api/v2/webhooks").get("items", []) if same(item.get("url"), url)]
    if not there:
        made = ask(api, "POST", "/api/v2/webhooks", {"name": name, "url": url, "tags": ["flagcache"], **wanted})
        return f"made the webhook {made.get('_id')}"
    change = [{"op": "add", "path": f"/{field}", "value": value} for field, value in wanted.items()]
    for item in there:
        ask(api, "PATCH", f"/api/v2/webhooks/{item['_id']}", change)
    return "brought the webhook " + ", ".join(item["_id"] for item in there) + " up to date"


def reason(error):
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403):
            return f"LaunchDarkly answers {error.code}: LD_API_KEY is no access token that may write webhooks"
        said = error.read(300).decode(errors="replace")
        return f"LaunchDarkly answers {error.code}: {said}"
    return f"LaunchDarkly cannot be reached: {getattr(error, 'reason', error)}"


def main():
    api, url, name, policy = sys.argv[1:]
    secret = sys.stdin.read().strip()
    try:
        with open(policy, encoding="utf-8") as file:
            print(connect(api, url, name, json.load(file), secret), "signed" if secret else "unsigned", sep=", ")
    except (OSError, ValueError) as error:
        sys.exit(f"stopped: {reason(error)}")


if __name__ == "__main__":
    main()
