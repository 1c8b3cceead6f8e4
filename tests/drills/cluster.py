"""The cluster of deploy/postgres, as the drills see it."""

import csv
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.request

from .common import ROOT, TARGET, Broken, say, with_parent

CLUSTER = ROOT / "deploy/postgres/cluster"


def asked(*command):
    # Where there is no such program yet, nothing is up.
    return subprocess.run(command, capture_output=True, text=True).stdout if shutil.which(command[0]) else ""


class Cluster:
    """The cluster of deploy/postgres."""

    nodes = ["n1", "n2", "n3"]

    def __init__(self):
        namespaces = [line.split()[0] for line in asked("ip", "netns", "list").splitlines() if line.startswith("seatkeeper-")]
        if any(asked("ip", "netns", "pids", name).strip() for name in namespaces):
            raise Broken("a cluster is up: deploy/postgres/cluster down")
        self.directory, temporary = TARGET / "postgres-cluster", ""
        if not all(directory.stat().st_mode & 1 for directory in (TARGET, *TARGET.parents)):
            # The user postgres cannot come here.
            self.directory = temporary = pathlib.Path(tempfile.mkdtemp(prefix="seatkeeper-failover-"))
            temporary.chmod(0o755)
        os.environ["CLUSTER_DIR"] = str(self.directory)
        if namespaces:
            say("an earlier run was killed together with its guard: removing its networks")
            self("down")
        # The shell reads until this process has gone, for whatever reason; then it takes the cluster down.
        reader, self.writer = os.pipe()
        self.guard = subprocess.Popen(["sh", "-c", 'cat >/dev/null; "$0" down; [ -z "$1" ] || rm -rf "$1"', CLUSTER, temporary],
                                      stdin=reader, start_new_session=True)
        os.close(reader)

    def __enter__(self):
        try:
            self("up", seconds=900)
        except BaseException:
            self.__exit__()
            raise
        say("the cluster is ready")
        self.urls = [self("url").strip(), self("url", "hosts").strip()]
        self.addresses = dict(zip(self.nodes, re.findall(r"[\d.]+(?=:5432)", self.urls[1])))
        return self

    def __exit__(self, *_):
        os.close(self.writer)
        self.guard.wait(120)

    def __call__(self, *words, seconds=60, stdin=None):
        done = subprocess.run(with_parent(CLUSTER, *words), input=stdin, capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise Broken(f"cluster {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def members(self):
        """What the nodes say of each other: the answer of any node that answers."""
        for node in self.nodes:
            try:
                with urllib.request.urlopen(f"http://{self.addresses[node]}:8008/cluster", timeout=2) as answer:
                    return {member["name"]: member for member in json.load(answer)["members"]}
            except (OSError, ValueError):
                pass
        return {}

    def leader(self):
        return next((name for name, member in self.members().items() if member["role"] == "leader"), None)

    def settled(self, strict=True):
        """One leader, and two standbys that follow it on its timeline, one of them synchronous."""
        members = self.members()
        roles = sorted(member["role"] for member in members.values())
        states = sorted(member["state"] for member in members.values())
        return (roles == (["leader", "replica", "sync_standby"] if strict else ["leader", "replica", "replica"])
                and states == ["running", "streaming", "streaming"]
                and len({member.get("timeline") for member in members.values()}) == 1)

    def level(self):
        """The standbys have everything."""
        return all(member.get("lag", 0) == 0 for member in self.members().values())

    def pid(self, node, name):
        return int(self("pid", node, name))

    def kill(self, node, *names):
        for pid in [self.pid(node, name) for name in names]:
            os.kill(pid, signal.SIGKILL)

    def signal_database(self, node, which):
        """To all processes of PostgreSQL and Patroni on this node."""
        etcd = self.pid(node, "etcd")
        pids = subprocess.run(["ip", "netns", "pids", f"seatkeeper-{node}"], capture_output=True, text=True, check=True).stdout
        for pid in map(int, pids.split()):
            if pid != etcd:
                try:
                    os.kill(pid, which)
                except ProcessLookupError:
                    pass

    def rows(self, query):
        """From the leader, by HAProxy."""
        return list(csv.reader(io.StringIO(self("psql", "-qXc", f"COPY ({query}) TO STDOUT WITH (FORMAT csv)"))))

    def sql(self, script):
        self("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-1", "-f", "-", stdin=script, seconds=120)
