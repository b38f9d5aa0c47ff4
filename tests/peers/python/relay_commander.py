"""The override tool that `rc` replaces, made again from its documentation, to be measured against.

As its documentation has it: the hosts one after the other, a journal file for each, and playback by
running every file's line in a shell, each a process of its own. It writes a boolean, though.
"""

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import uuid

import redis
import requests

TO_DO, ARCHIVE = "replay/toDo", "replay/archive"


def update_redis(arguments):
    for folder in (TO_DO, ARCHIVE):
        os.makedirs(folder, exist_ok=True)
    for host in os.environ["REDIS_HOSTS"].split(","):
        name, _, port = host.partition(":")
        connection = redis.Redis(host=name, port=int(port or 6379), db=0)
        hash_key = f"ld:{arguments.project}:{arguments.environment}:features"
        flag = json.loads(connection.hget(hash_key, arguments.feature).decode("utf-8"))
        flag["on"] = arguments.state == "on"
        flag["version"] += 1
        connection.hset(hash_key, arguments.feature, json.dumps(flag).encode("utf-8"))
        with open(f"{TO_DO}/{uuid.uuid4()}.txt", "w") as file:
            file.write(
                f"{sys.argv[0]} update-ld-api -p {arguments.project} -e {arguments.environment}"
                f" -f {arguments.feature} -s {arguments.state}"
            )


def update_ld_api(arguments):
    path = f"/environments/{arguments.environment}/on"
    answer = requests.patch(
        f"{os.environ['LAUNCHDARKLY_API_URI'].rstrip('/')}/api/v2/flags/{arguments.project}/{arguments.feature}",
        headers={"Authorization": os.environ["LD_API_KEY"]},
        json=[{"op": "replace", "path": path, "value": arguments.state == "on"}],
    )
    answer.raise_for_status()


def playback(_arguments):
    for path in sorted(glob.glob(f"{TO_DO}/*.txt")):
        with open(path) as file:
            subprocess.run(file.read(), shell=True, check=True)
        shutil.move(path, ARCHIVE)


def main():
    parser = argparse.ArgumentParser(prog="rc")
    commands = parser.add_subparsers(required=True)
    for name, run in (("update-redis", update_redis), ("update-ld-api", update_ld_api)):
        command = commands.add_parser(name)
        for option in ("project", "environment", "feature", "state"):
            command.add_argument(f"-{option[0]}", f"--{option}", required=True)
        command.set_defaults(run=run)
    commands.add_parser("playback").set_defaults(run=playback)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
