#!/usr/bin/env python3
"""The world of the kill test: a provider whose objects are lines in a ledger that it alone keeps.

Each line is "+ ID NAME" or "- ID NAME", appended with one write and padded to a length that divides a page: across pages a
write can be seen, and be cut short by a kill, half done. Requests run side by side and take a few milliseconds
before and after their effect, so that a kill finds them at every point. It ends when its input does, after what it has
begun: a provider may outlive the program that started it. Its process id is a file in `alive/` as long as it runs.
"""

import json
import os
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

THREADS = 8
LINE_BYTES = 64
SCHEMA = {
    "entry": {
        "description": "A line in the ledger.",
        "inputs": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "text": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
        "outputs": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
        "identity": ["name"],
        "forceNew": ["name"],
        "canRead": True,
        "canUpdate": True,
        "canDelete": True,
    }
}


class Ledger:
    def __init__(self, directory):
        self.path = os.path.join(directory, "ledger")
        self.file = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def write(self, sign, identifier, name):
        line = f"{sign} {identifier} {name}".encode().ljust(LINE_BYTES - 1) + b"\n"
        if len(line) != LINE_BYTES:
            raise ValueError(f"the name `{name}` is too long")
        os.write(self.file, line)

    def objects(self):
        found = {}
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                sign, identifier, name = line.split()
                if sign == "+":
                    found[identifier] = name
                else:
                    found.pop(identifier, None)
        return found


def pause(name, shift):
    # The same for the same name in every run: a few milliseconds, of all lengths.
    time.sleep((sum(name.encode()) * 7 + shift) % 40 / 10_000)


class Provider:
    def __init__(self):
        self.ledger = None

    def initialize(self, params):
        directory = params["workingDirectory"]
        self.ledger = Ledger(directory)
        alive = os.path.join(directory, "alive")
        os.makedirs(alive, exist_ok=True)
        with open(os.path.join(alive, str(os.getpid())), "w", encoding="utf-8"):
            pass
        return {"protocolVersion": 1, "provider": {"name": "ledger", "version": "1"}, "concurrency": THREADS}

    def schema(self, _params):
        return {"types": SCHEMA}

    def configure(self, _params):
        return {}

    def validate(self, _params):
        return {"diagnostics": []}

    def plan(self, params):
        prior = params.get("prior")
        if prior and not params.get("replace"):
            same = prior["inputs"]["value"] == params["inputs"]["value"]
            return {"action": "none" if same else "update", "plannedOutputs": prior["outputs"]}
        return {"action": "replace" if prior else "update", "plannedOutputs": {"value": {"id": {"$freehold": "unknown"}}}}

    def create(self, params):
        name = params["inputs"]["value"]["name"]
        identifier = uuid.uuid4().hex
        pause(name, 0)
        self.ledger.write("+", identifier, name)
        pause(name, 13)
        return {"outputs": {"value": {"id": identifier}}}

    def read(self, params):
        recorded = params["object"]
        name = (recorded.get("inputs") or {"value": {}})["value"].get("name")
        wanted = recorded["outputs"]["value"].get("id")
        for identifier, found in self.ledger.objects().items():
            if identifier == wanted or (wanted is None and found == name):
                return {"object": {"inputs": recorded.get("inputs"), "outputs": {"value": {"id": identifier}}}}
        return {"object": None}

    def update(self, params):
        return {"outputs": params["prior"]["outputs"]}

    def delete(self, params):
        identifier = params["object"]["outputs"]["value"]["id"]
        name = self.ledger.objects().get(identifier)
        if name is not None:
            pause(name, 0)
            self.ledger.write("-", identifier, name)
            pause(name, 13)
        return {}


def main():
    provider, lock = Provider(), threading.Lock()

    def answer(request):
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            reply["result"] = getattr(provider, request["method"])(request.get("params") or {})
        except AttributeError:
            reply["error"] = {"code": -32601, "message": f"unknown method `{request['method']}`"}
        except Exception as error:  # whatever it is, the caller must hear of it
            reply["error"] = {"code": 1, "message": repr(error), "data": {"kind": "internal"}}
        with lock:
            try:
                os.write(1, (json.dumps(reply) + "\n").encode())
            except BrokenPipeError:
                pass  # whoever asked is gone; what was begun goes on

    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            request = json.loads(line)
            if "id" not in request:
                continue
            if request["method"] in ("create", "delete"):
                pool.submit(answer, request)
            else:
                answer(request)
    try:
        os.unlink(os.path.join(os.path.dirname(provider.ledger.path), "alive", str(os.getpid())))
    except (OSError, AttributeError):
        pass


main()
