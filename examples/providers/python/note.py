#!/usr/bin/env python3
"""A provider for Freehold in plain Python: a type `note`, a line in a ledger file.

It speaks provider protocol v1: JSON-RPC 2.0, one message per line on standard input and output. Nothing but the
standard library is used. See docs/ for the protocol and `freehold provider test` for its contract:

    freehold provider test examples/providers/python/note.py

In a deployment:

    providers.notes = { executable = ./note.py; types.note = { }; };
    members.hello = { type = providers.notes.note; inputs = { text = "hello"; }; };
"""

import json
import os
import sys
import tempfile

LEDGER = "notes.json"

SCHEMA = {
    "note": {
        "description": "A line in the ledger `notes.json` beside the deployment.",
        "inputs": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "What the note says."},
                "shelf": {"type": "string", "description": "Where it is kept; another shelf is another note."},
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        "outputs": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "Number of the note."},
                "length": {"type": "integer", "description": "Characters in it."},
            },
            "required": ["id", "length"],
        },
        "forceNew": ["shelf"],
        "stableOutputs": ["id"],
        "operations": {"show": {"description": "prints the note"}},
        "canRead": True,
        "canUpdate": True,
        "canDelete": True,
        "canImport": True,
        "stateful": False,
        "holdsState": False,
        "examples": [
            {"title": "a short note", "inputs": {"text": "hello"}, "update": {"text": "hello again"}},
        ],
    }
}

UNKNOWN = {"$freehold": "unknown"}
METHOD_NOT_FOUND, INVALID_PARAMS, FAILED = -32601, -32602, 1


class Failure(Exception):
    """A request that failed, with who has to act: user, config, transient, host or internal."""

    def __init__(self, message, kind="user", code=FAILED, hint=None, diagnostics=()):
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": {"kind": kind}}
        if hint:
            self.error["data"]["hint"] = hint
        if diagnostics:
            self.error["data"]["diagnostics"] = list(diagnostics)


class Ledger:
    """All notes, in one JSON file that is replaced as a whole, so that it is never half written."""

    def __init__(self, directory):
        self.path = os.path.join(directory, LEDGER)

    def load(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {"next": 1, "notes": {}}

    def save(self, ledger):
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(self.path))
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(ledger, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)


class Provider:
    """One method of this class per method of the protocol; `/` in a name becomes `_`."""

    def __init__(self, send):
        self.send = send
        self.ledger = Ledger(".")

    def initialize(self, params, _id):
        if 1 not in params["protocolVersions"]:
            raise Failure("this provider speaks protocol version 1 only", kind="config")
        self.ledger = Ledger(params["workingDirectory"])
        # One request at a time: this program has one thread.
        return {"protocolVersion": 1, "provider": {"name": "notes", "version": "1"}, "concurrency": 1}

    def schema(self, _params, _id):
        return {"types": SCHEMA}

    def configure(self, _params, _id):
        return {}

    def validate(self, params, _id):
        return {"diagnostics": diagnose(params["type"], params["inputs"]["value"])}

    def plan(self, params, _id):
        inputs = checked(params)
        text, prior = inputs["text"], params.get("prior")
        outputs = {"id": UNKNOWN, "length": UNKNOWN if text == UNKNOWN else len(text)}
        action, reasons = "update", []
        if prior:
            before = prior["inputs"]["value"]
            if params.get("replace") or before.get("shelf") != inputs.get("shelf"):
                action, reasons = "replace", ["another shelf is another note"]
            else:
                outputs["id"] = prior["outputs"]["value"]["id"]
                if before == inputs:
                    action, outputs = "none", prior["outputs"]["value"]
        return {"action": action, "plannedOutputs": {"value": outputs}, "reasons": reasons}

    def create(self, params, _id):
        inputs = checked(params)
        ledger = self.ledger.load()
        number = str(ledger["next"])
        ledger["next"] += 1
        ledger["notes"][number] = inputs
        self.ledger.save(ledger)
        return outputs_of(number, inputs)

    def read(self, params, _id):
        recorded = params["object"]
        number = recorded["outputs"]["value"]["id"]
        found = self.ledger.load()["notes"].get(number)
        if found is None:
            return {"object": None}
        object_found = outputs_of(number, found)
        if found != recorded["inputs"]["value"]:
            object_found["inputs"] = {"value": found}
        return {"object": object_found}

    def update(self, params, _id):
        inputs = checked(params)
        number = params["prior"]["outputs"]["value"]["id"]
        ledger = self.ledger.load()
        ledger["notes"][number] = inputs
        self.ledger.save(ledger)
        return outputs_of(number, inputs)

    def delete(self, params, _id):
        ledger = self.ledger.load()
        # That it is gone already is no error.
        if ledger["notes"].pop(params["object"]["outputs"]["value"]["id"], None) is not None:
            self.ledger.save(ledger)
        return {}

    def import_(self, params, _id):
        found = self.ledger.load()["notes"].get(params["id"])
        if found is None:
            raise Failure(f"there is no note `{params['id']}`")
        return {"objects": [{**outputs_of(params["id"], found), "inputs": {"value": found}}]}

    def operations_run(self, params, request_id):
        if params["operation"] != "show":
            raise Failure(f"a note has no operation `{params['operation']}`", hint="there is: show")
        text = params["object"]["inputs"]["value"]["text"]
        self.send({"method": "output", "params": {"id": request_id, "stream": "stdout", "data": text + "\n"}})
        return {"exitCode": 0}


METHODS = ["initialize", "schema", "configure", "validate", "plan", "create", "read", "update", "delete", "import",
           "operations/run"]


def outputs_of(number, inputs):
    return {"outputs": {"value": {"id": number, "length": len(inputs["text"])}}}


def diagnose(type_name, inputs):
    """What is wrong with inputs; unknown ones are taken to be right."""
    if type_name not in SCHEMA:
        raise Failure(f"there is no resource type `{type_name}`", code=INVALID_PARAMS, hint="there is: note")
    known = SCHEMA[type_name]["inputs"]["properties"]
    found = []
    for name, value in inputs.items():
        if name not in known:
            found.append({"pointer": "/" + name, "message": f"`{name}` is not recognised",
                          "hint": "there are: " + ", ".join(known)})
        elif value != UNKNOWN and not isinstance(value, str):
            found.append({"pointer": "/" + name, "message": "must be a string"})
    for name in SCHEMA[type_name]["inputs"]["required"]:
        if name not in inputs:
            found.append({"pointer": "/" + name, "message": f"`{name}` is required"})
    return found


def checked(params):
    inputs = params["inputs"]["value"]
    found = diagnose(params["type"], inputs)
    if found:
        raise Failure("inputs of `note` are refused: " + found[0]["message"], code=INVALID_PARAMS, diagnostics=found)
    return inputs


def answer(provider, request):
    method = request["method"]
    if method not in METHODS:
        raise Failure(f"there is no method `{method}`", kind="internal", code=METHOD_NOT_FOUND)
    name = "import_" if method == "import" else method.replace("/", "_")
    return getattr(provider, name)(request.get("params") or {}, request["id"])


def main():
    # Stray prints must not reach the client: messages go to a copy of standard output, everything else to standard error.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(message):
        output.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        output.flush()

    provider = Provider(send)
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
        except ValueError:
            send({"id": None, "error": {"code": -32700, "message": "not JSON"}})
            continue
        if not isinstance(request, dict) or request.get("id") is None or not isinstance(request.get("method"), str):
            # A notification (such as `cancel`) asks for no answer, and one request at a time leaves nothing to cancel.
            continue
        try:
            send({"id": request["id"], "result": answer(provider, request)})
        except Failure as failure:
            send({"id": request["id"], "error": failure.error})
        except Exception as error:  # whatever it is, the client must get an answer
            send({"id": request["id"], "error": {"code": -32603, "message": repr(error), "data": {"kind": "internal"}}})


if __name__ == "__main__":
    main()
