"""What the drills break, and how it is repaired."""

import os
import signal
import time

KINDS = {}


def kind(name, title, **properties):
    """A function that breaks something, yields while it is broken, and repairs it."""
    def register(function):
        function.title, function.hold_s = title, properties.get("hold_s", 0)
        KINDS[name] = function
        return function
    return register


@kind("stop", "SIGSTOP of PostgreSQL and Patroni, then SIGCONT")
def stop(cluster, leader):
    cluster.signal_database(leader, signal.SIGSTOP)
    yield
    cluster.signal_database(leader, signal.SIGCONT)


@kind("cut", "leader cut from the other nodes, then healed")
def cut_leader(cluster, leader):
    cluster("cut", leader)
    yield
    cluster("heal", leader)


@kind("both", "kill -9 of PostgreSQL and Patroni")
def kill_both(cluster, leader):
    cluster.kill(leader, "patroni", "postgres")
    yield
    cluster("start", leader, "patroni")


@kind("postgres", "kill -9 of PostgreSQL")
def kill_postgres(cluster, leader):
    cluster.kill(leader, "postgres")
    yield


@kind("etcd-kill", "kill -9 of the leader's etcd", hold_s=10)
def kill_etcd(cluster, leader):
    cluster.kill(leader, "etcd")
    yield
    cluster("start", leader, "etcd")


@kind("etcd-stop", "SIGSTOP of the leader's etcd, then SIGCONT", hold_s=25)
def stop_etcd(cluster, leader):
    etcd = cluster.pid(leader, "etcd")
    os.kill(etcd, signal.SIGSTOP)
    yield
    os.kill(etcd, signal.SIGCONT)


@kind("isolate", "leader cut from everything, then healed")
def isolate_leader(cluster, leader):
    cluster("cut", leader, "everything")
    yield
    cluster("heal", leader)


@kind("patroni", "kill -9 of Patroni", hold_s=30)
def kill_patroni(cluster, leader):
    cluster.kill(leader, "patroni")
    yield
    cluster("start", leader, "patroni")


@kind("standby", "kill -9 of the synchronous standby's PostgreSQL")
def kill_standby(cluster, _):
    standby = next(name for name, member in cluster.members().items() if member["role"] == "sync_standby")
    cluster.kill(standby, "postgres")
    yield


@kind("switchover", "planned switchover: patronictl switchover")
def switch_over(cluster, _):
    cluster("patronictl", "switchover", "--force")
    yield


def replication_cut(cluster, leader):
    """For asynchronous mode: acknowledges what only the leader has, then the leader dies."""
    cluster("cut", leader, "replication")
    time.sleep(2)
    cluster.kill(leader, "patroni", "postgres")
    yield
    cluster("heal", leader)
    cluster("start", leader, "patroni")


replication_cut.title, replication_cut.hold_s = "replication cut 2 s, then kill -9 of PostgreSQL and Patroni", 0
