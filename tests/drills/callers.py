"""Nodes of Seatkeeper, and callers that assign seats on them and keep every answer."""

import http.client
import itertools
import random
import re
import socket
import subprocess
import threading
import time
import urllib.request

from .common import LOGS, Broken, with_parent
from .findings import ALREADY, NONE_FREE, SUCCESS, UNCHANGED, UNKNOWN, Answer, longest_gap

PATH = "/WebApi/AccountManagementService/LicenseManagementService.asmx"
USER, PASSWORD = "drill", "drill-Passw0rd"

CALLERS = 16
# A caller rests so long between two calls: the drill is about losses, not about rates, and the callers share the machine.
REST_S = 0.02
# For one answer. A node may wait for a silent server, then look for half a minute what became of the commit, then make the call again.
CALL_S = 90

ENVELOPE = """<?xml version="1.0" encoding="utf-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Header><AuthHeader xmlns="sosonlinebackup.com">\
<UserName>{user}</UserName><Password>{password}</Password></AuthHeader></soap:Header><soap:Body>\
<AssignLicense xmlns="sosonlinebackup.com"><request><Username>{username}</Username>\
<LicenseProviderEntityId>{entity}</LicenseProviderEntityId><LicenseType>{license_type}</LicenseType></request></AssignLicense>\
</soap:Body></soap:Envelope>"""


def free_port():
    """A port that the system gives to no connection by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                free.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Node:
    """A running seatkeeper."""

    def __init__(self, binary, url, name, create=False):
        self.log = LOGS / f"{name}.log"
        self.port = free_port()
        command = with_parent(binary, "serve", "--database", url, "--listen", f"127.0.0.1:{self.port}", *["--create"] * create)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self):
        if self.process.poll() is not None:
            raise Broken(f"seatkeeper has ended: {self.log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Callers:
    """Many callers of one drill, on all nodes, until they are told to end."""

    def __init__(self, nodes, entity, drill, seed):
        self.nodes, self.entity, self.drill = nodes, entity, drill
        self.answers, self.errors = [], []
        self.acknowledged = []
        self.duels = itertools.count()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number, random.Random(f"{seed}-{drill}-{number}")), daemon=True)
                        for number in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number, choices):
        try:
            node = number % len(self.nodes)
            connection = http.client.HTTPConnection("127.0.0.1", self.nodes[node].port, timeout=CALL_S)
            connection.node = node
            for n in itertools.count():
                if self.ending.is_set():
                    return
                self.one_call(connection, f"d{self.drill}-{number}-{n}", choices)
                time.sleep(REST_S)
        except Exception as error:  # The report must show it, whatever it is.
            self.errors.append(repr(error))

    def one_call(self, connection, username, choices):
        """Most callers ask for a user of their own, some of them under a name that they repeat until they know the answer. Others
        ask for a user that has a seat, for one that others ask for at this moment, or for a seat of the pool that is full."""
        chance = choices.random()
        if chance < 0.1 and self.acknowledged:
            self.call(connection, choices.choice(self.acknowledged), "SqlBackup")
        elif chance < 0.15:
            self.call(connection, username, "ExchangeBackup")
        elif chance < 0.25:
            self.call(connection, f"d{self.drill}-duel-{next(self.duels) // 4}", "SqlBackup")
        else:
            named = choices.random() < 0.3
            for _ in range(10):
                answer = self.call(connection, username, "SqlBackup", username if named else None)
                if answer.outcome not in (UNCHANGED, UNKNOWN):
                    break
                if not named:
                    return
                time.sleep(0.5)
            if answer.outcome == SUCCESS:
                self.acknowledged.append(username)

    def call(self, connection, username, license_type, name=None):
        body = ENVELOPE.format(user=USER, password=PASSWORD, username=username, entity=self.entity, license_type=license_type)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"sosonlinebackup.com/AssignLicense"'}
        if name:
            headers["Idempotency-Key"] = f'"{name}"'
        sent, request_id = time.monotonic(), None
        try:
            connection.request("POST", PATH, body.encode(), headers)
            response = connection.getresponse()
            request_id = response.headers.get("X-Request-Id")
            outcome = outcome_of(response.status, response.read().decode())
        except (OSError, http.client.HTTPException) as error:
            # A caller that waited for the whole of its time limit is a fault of its own: every call must end.
            if isinstance(error, TimeoutError):
                self.errors.append(f"no answer within {CALL_S} s")
            connection.close()
            outcome = UNKNOWN
        answer = Answer(connection.node, sent, time.monotonic(), username, license_type, name is not None, outcome, request_id)
        self.answers.append(answer)
        return answer

    def writes(self, nodes=None):
        """When seats were acknowledged, by these nodes or by any."""
        return sorted(answer.answered for answer in self.answers
                      if answer.outcome == SUCCESS and (nodes is None or answer.node in nodes))

    def are_writing(self, seconds):
        """Whether seats have been acknowledged all the time for so many seconds."""
        self.no_errors()
        now = time.monotonic()
        return longest_gap(self.writes(), now - seconds, now) < 1

    def end(self):
        self.ending.set()
        end = time.monotonic() + 2 * CALL_S
        for thread in self.threads:
            thread.join(max(0.1, end - time.monotonic()))
        if any(thread.is_alive() for thread in self.threads):
            raise Broken("a caller waits for ever")
        self.no_errors()

    def no_errors(self):
        if self.errors:
            raise Broken(f"a caller failed: {self.errors[0]}")


def outcome_of(status, text):
    code = re.search("<Code>(.*?)</Code>", text)
    code = code and code[1]
    if code in (SUCCESS, ALREADY, NONE_FREE):
        return code
    if code == "UnexpectedError":
        return UNCHANGED if "othing was changed" in text else UNKNOWN
    raise Broken(f"an answer that no drill expects: {status} {text[-500:]}")
