"""What the drills compare and report."""

import collections
import statistics
import time

from .common import say

# What a caller was told. UNKNOWN: that it is unknown, or nothing at all.
SUCCESS, ALREADY, NONE_FREE, UNCHANGED, UNKNOWN = "Success", "AlreadyExists", "NoFreeSeat", "nothing was changed", "unknown"
Answer = collections.namedtuple("Answer", "node sent answered username license_type named outcome request_id")

# What must be empty in strict mode.
FAULTS = ("lost", "doubled", "untrue")


class Findings:
    """Every answer of a drill beside the seats and the history."""

    def __init__(self, answers, seats, events):
        self.answers = answers
        self.seats = collections.Counter((username, license_type) for username, license_type in seats)
        self.events = collections.defaultdict(list)
        for username, license_type, request_id in events:
            self.events[username, license_type].append(request_id)
        self.lost, self.doubled, self.untrue = [], [], []
        self.compare()

    def compare(self):
        successes = collections.Counter()
        for answer in self.answers:
            key = (answer.username, answer.license_type)
            if answer.outcome == SUCCESS:
                successes[key] += 1
                # The response to a repeated call under a name has an id of its own; the history has that of the first.
                if not self.seats[key] or not self.events[key] or not answer.named and answer.request_id not in self.events[key]:
                    self.lost.append(answer)
            elif answer.outcome == ALREADY and (not self.seats[key] or answer.named):
                # Who calls under a name is the only caller for this user, and gets its own answer again.
                self.untrue.append(answer)
            elif answer.outcome == NONE_FREE and (answer.license_type == "SqlBackup" or self.seats[key]):
                self.untrue.append(answer)
            elif answer.outcome == UNCHANGED and answer.request_id in self.events[key]:
                self.untrue.append(answer)
        self.doubled += [key for key, count in successes.items() if count > 1]
        self.doubled += [key for key, ids in self.events.items() if len(ids) > 1]
        self.doubled += [key for key, count in self.seats.items() if count > 1]
        self.doubled += [key for key in self.seats if not self.events[key]]

    def count(self, outcome):
        return sum(answer.outcome == outcome for answer in self.answers)


Result = collections.namedtuple("Result", "number title strict gap node_gap findings settled_s")


def longest_gap(writes, start, end):
    """The longest time without a write between start and end."""
    times = [start, *(time for time in writes if start <= time <= end), end]
    return max(after - before for before, after in zip(times, times[1:]))


def show(result):
    """One line, and examples of what must not be."""
    found = result.findings
    title = result.title + ("" if result.strict else " (asynchronous)")
    say(f"{time.strftime('%H:%M:%S')} drill {result.number}: {title}: {result.gap:.1f} s without acknowledged writes, "
        f"at one node {result.node_gap:.1f} s, settled after {result.settled_s:.0f} s; {found.count(SUCCESS)} acknowledged, "
        f"{len(found.lost)} lost, {len(found.doubled)} doubled, "
        f"{found.count(ALREADY) + found.count(NONE_FREE)} refused, {len(found.untrue)} of all answers untrue, "
        f"{found.count(UNCHANGED)} failed without a change, {found.count(UNKNOWN)} unknown")
    for name in FAULTS:
        for example in getattr(found, name)[:3] if result.strict else []:
            say(f"    {name}: {example}")


def report(results):
    """Tables of all drills; whether they are as they must be. A gap is the time without acknowledged writes."""
    say("\n| kind | drills | median gap s | longest gap s | at one node | acknowledged | lost | doubled | untrue | unknown |")
    say("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    groups = collections.defaultdict(list)
    for result in results:
        groups[result.title + ("" if result.strict else " (asynchronous)")].append(result)
    for title, group in groups.items():
        gaps = [result.gap for result in group]
        figures = [title, len(group), f"{statistics.median(gaps):.1f}", f"{max(gaps):.1f}", f"{max(r.node_gap for r in group):.1f}"]
        figures += [sum(r.findings.count(SUCCESS) for r in group)]
        figures += [sum(len(getattr(r.findings, name)) for r in group) for name in FAULTS]
        figures += [sum(r.findings.count(UNKNOWN) for r in group)]
        say(f"| {' | '.join(map(str, figures))} |")
    gaps = sorted(result.gap for result in results if result.strict)
    if gaps:
        say(f"\n{len(gaps)} drills in strict synchronous mode; seconds without acknowledged writes: "
            f"p50 {percentile(gaps, 50):.1f}, p99 {percentile(gaps, 99):.1f}, longest {gaps[-1]:.1f}")
    faults = [r.number for r in results if r.strict and any(getattr(r.findings, name) for name in FAULTS)]
    blind = any(not r.strict for r in results) and not any(r.findings.lost for r in results if not r.strict)
    if faults:
        say(f"FAILED: drills {', '.join(map(str, faults))} lost or doubled seats, or had untrue answers")
    if blind:
        say("FAILED: asynchronous mode lost nothing, so these drills show nothing")
    return not faults and not blind


def percentile(ordered, percent):
    """By the nearest rank."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
