//! The order in which password checks run, as a pure state machine: no clock, no threads, no randomness. `room` runs it.
//!
//! * Each client has a line (a queue of its own), and the lines take turns. A client that floods waits behind itself.
//! * The number of places is bounded. When none is free, the newest check of the longest line gives up its place to a shorter
//!   line, so a flood displaces only itself.
//! * A user name that signed in from its client before has its own line in a separate lane. That lane gets every second turn if
//!   it needs it, and a quarter of the places is reserved for it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// The line of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// The line of a user name, by its keyed hash, that signed in before from the client of this check. One line serves all its
    /// clients, so that a fleet that still sends an old password delays no other user.
    Known(u64),
    /// The line of all other user names of a client.
    Client(IpAddr),
}

impl Line {
    fn lane(self) -> usize {
        match self {
            Line::Known(_) => KNOWN,
            Line::Client(_) => OTHER,
        }
    }
}

const KNOWN: usize = 0;
const OTHER: usize = 1;

/// See the module. `T` starts a check.
#[derive(Debug)]
pub struct Queue<T> {
    running_max: usize,
    places_max: usize,
    running: usize,
    lanes: [Lane<T>; 2],
    /// The lane of the last started check.
    last: usize,
    next_id: u64,
}

/// The place of a waiting check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    line: Line,
    id: u64,
}

/// The result for a new check.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered<T> {
    /// It may run at once.
    Started(T),
    /// It waits; `displaced` gave up its place for it.
    Waits {
        place: Place,
        displaced: Option<T>,
    },
    Refused(T),
}

impl<T> Queue<T> {
    /// `places_max` includes running and waiting checks.
    pub fn new(running_max: usize, places_max: usize) -> Queue<T> {
        let lanes = [Lane::default(), Lane::default()];
        Queue { running_max, places_max, running: 0, lanes, last: OTHER, next_id: 0 }
    }

    /// Checks that wait already keep their places.
    pub fn set_places(&mut self, places_max: usize) {
        self.places_max = places_max;
    }

    /// Adds a check. If it is started, the caller runs it and then calls [`Queue::finish`].
    pub fn enter(&mut self, line: Line, item: T) -> Entered<T> {
        let waiting = self.waiting_known() + self.waiting_other();
        let mut displaced = None;
        if !self.has_place(line) {
            let lane = &mut self.lanes[line.lane()];
            // A line must not displace another line's check if it would then be the longest.
            match lane.longest() {
                Some((longest, length)) if length > lane.length(line) + 1 => displaced = lane.take_newest(longest),
                _ => return Entered::Refused(item),
            }
        } else if waiting == 0 && self.running < self.running_max {
            self.running += 1;
            self.last = line.lane();
            return Entered::Started(item);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.lanes[line.lane()].add(line, id, item);
        Entered::Waits { place: Place { line, id }, displaced }
    }

    /// Records the end of a check. Returns the next one, which is now started.
    pub fn finish(&mut self) -> Option<T> {
        self.running -= 1;
        let lane = match (self.lanes[KNOWN].waiting, self.lanes[OTHER].waiting) {
            (0, 0) => return None,
            (_, 0) => KNOWN,
            (0, _) => OTHER,
            _ => 1 - self.last,
        };
        let item = self.lanes[lane].take_next()?;
        self.running += 1;
        self.last = lane;
        Some(item)
    }

    /// Gives up a place, if its check still waits.
    pub fn leave(&mut self, place: Place) -> Option<T> {
        self.lanes[place.line.lane()].take(place)
    }

    pub fn waiting_known(&self) -> usize {
        self.lanes[KNOWN].waiting
    }

    pub fn waiting_other(&self) -> usize {
        self.lanes[OTHER].waiting
    }

    #[cfg(test)]
    pub fn running(&self) -> usize {
        self.running
    }

    fn has_place(&self, line: Line) -> bool {
        let others = self.running + self.waiting_other();
        match line {
            Line::Known(_) => others + self.waiting_known() < self.places_max,
            Line::Client(_) => {
                others + self.waiting_known() < self.places_max && others < self.places_max - self.places_max / 4
            }
        }
    }
}

/// Lines that take turns. A line without checks is not kept.
#[derive(Debug)]
struct Lane<T> {
    lines: HashMap<Line, VecDeque<(u64, T)>>,
    /// Each line once, in the order of turns.
    turns: VecDeque<Line>,
    waiting: usize,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Lane { lines: HashMap::new(), turns: VecDeque::new(), waiting: 0 }
    }
}

impl<T> Lane<T> {
    fn length(&self, line: Line) -> usize {
        self.lines.get(&line).map_or(0, VecDeque::len)
    }

    /// There are at most as many lines as places, so a search through all of them is cheap.
    fn longest(&self) -> Option<(Line, usize)> {
        self.turns.iter().map(|line| (*line, self.length(*line))).max_by_key(|(_, length)| *length)
    }

    fn add(&mut self, line: Line, id: u64, item: T) {
        let checks = self.lines.entry(line).or_default();
        if checks.is_empty() {
            self.turns.push_back(line);
        }
        checks.push_back((id, item));
        self.waiting += 1;
    }

    fn take_next(&mut self) -> Option<T> {
        let line = *self.turns.front()?;
        let item = self.remove(line, |_| Some(0));
        // A line with more checks waits for its next turn at the end.
        if self.turns.front() == Some(&line) {
            self.turns.rotate_left(1);
        }
        item
    }

    fn take_newest(&mut self, line: Line) -> Option<T> {
        self.remove(line, |checks| checks.len().checked_sub(1))
    }

    fn take(&mut self, place: Place) -> Option<T> {
        self.remove(place.line, |checks| checks.iter().position(|(id, _)| *id == place.id))
    }

    fn remove(&mut self, line: Line, which: impl Fn(&VecDeque<(u64, T)>) -> Option<usize>) -> Option<T> {
        let checks = self.lines.get_mut(&line)?;
        let (_, item) = checks.remove(which(checks)?)?;
        self.waiting -= 1;
        if checks.is_empty() {
            self.lines.remove(&line);
            self.turns.retain(|other| *other != line);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn other(n: u8) -> Line {
        Line::Client(client(n))
    }

    fn known(n: u8) -> Line {
        Line::Known(n.into())
    }

    /// Enters checks; returns the items that are refused at once or later, and then all that run, in order.
    fn run(places_max: usize, arrivals: &[(Line, &'static str)]) -> (Vec<&'static str>, Vec<&'static str>) {
        let mut queue = Queue::new(1, places_max);
        let (mut ran, mut refused) = (Vec::new(), Vec::new());
        for (line, item) in arrivals {
            match queue.enter(*line, *item) {
                Entered::Started(item) => ran.push(item),
                Entered::Waits { displaced, .. } => refused.extend(displaced),
                Entered::Refused(item) => refused.push(item),
            }
        }
        while queue.running() > 0 {
            ran.extend(queue.finish());
        }
        assert_eq!((queue.running(), queue.waiting_known(), queue.waiting_other()), (0, 0, 0));
        (ran, refused)
    }

    #[test]
    fn lines_take_turns_and_a_flood_displaces_itself() {
        for (case, places_max, arrivals, ran, refused) in [
            (
                "one client: in order",
                8,
                vec![(other(1), "a"), (other(1), "b"), (other(1), "c")],
                vec!["a", "b", "c"],
                vec![],
            ),
            (
                "another client overtakes a flood",
                8,
                vec![(other(1), "a"), (other(1), "b"), (other(1), "c"), (other(2), "x"), (other(3), "y")],
                vec!["a", "b", "x", "y", "c"],
                vec![],
            ),
            (
                "known ones get every second turn",
                8,
                vec![
                    (other(1), "a"),
                    (other(2), "b"),
                    (other(3), "c"),
                    (known(4), "k"),
                    (known(5), "l"),
                    (known(5), "m"),
                ],
                vec!["a", "k", "b", "l", "c", "m"],
                vec![],
            ),
            (
                "a flood leaves the reserved places free",
                4,
                vec![
                    (other(1), "a"),
                    (other(1), "b"),
                    (other(1), "c"),
                    (other(1), "d"),
                    (known(1), "k"),
                    (known(1), "l"),
                ],
                vec!["a", "k", "b", "c"],
                vec!["d", "l"],
            ),
            (
                "the newest of the longest line goes",
                4,
                vec![(other(1), "a"), (other(1), "b"), (other(1), "c"), (other(2), "x"), (other(3), "y")],
                vec!["a", "b", "x"],
                vec!["c", "y"],
            ),
            (
                "of known ones too",
                4,
                vec![
                    (known(1), "a"),
                    (known(1), "b"),
                    (known(1), "c"),
                    (known(1), "d"),
                    (known(2), "x"),
                    (known(1), "e"),
                ],
                vec!["a", "b", "x", "c"],
                vec!["d", "e"],
            ),
            (
                "known ones may use all places, and keep them",
                4,
                vec![
                    (known(1), "a"),
                    (known(2), "b"),
                    (known(3), "c"),
                    (known(4), "d"),
                    (other(9), "x"),
                    (known(5), "e"),
                ],
                vec!["a", "b", "c", "d"],
                vec!["x", "e"],
            ),
            ("without places there is no work", 0, vec![(known(1), "a"), (other(1), "b")], vec![], vec!["a", "b"]),
        ] {
            assert_eq!(run(places_max, &arrivals), (ran, refused), "{case}");
        }
    }

    #[test]
    fn a_caller_that_hangs_up_gives_up_its_place() {
        let mut queue = Queue::new(1, 4);
        assert_eq!(queue.enter(other(1), 'a'), Entered::Started('a'));
        let Entered::Waits { place, .. } = queue.enter(other(1), 'b') else { panic!("it waits") };
        assert!(matches!(queue.enter(other(1), 'c'), Entered::Waits { .. }));
        assert_eq!((queue.leave(place), queue.leave(place)), (Some('b'), None));
        assert!(matches!(queue.enter(other(2), 'd'), Entered::Waits { displaced: None, .. }), "its place is free");
        assert_eq!((queue.finish(), queue.finish(), queue.finish()), (Some('c'), Some('d'), None));
    }

    const RUNNING_MAX: usize = 2;
    const PLACES_MAX: usize = 16;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Enter(Line),
        Finish,
        /// The caller of a check that waits disconnects.
        Leave(usize),
    }

    /// Unknown clients with few addresses and with ever-new ones, and four known pairs. Half of all steps are arrivals, so that
    /// the places are nearly always taken.
    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..4u8).prop_map(|n| Step::Enter(other(n))),
            6 => any::<u32>().prop_map(|n| Step::Enter(Line::Client(IpAddr::from(n.to_be_bytes())))),
            2 => (0..4u8).prop_map(|n| Step::Enter(known(n))),
            8 => Just(Step::Finish),
            2 => (0..PLACES_MAX).prop_map(Step::Leave),
        ]
    }

    /// A check that waits, as the model sees it.
    struct Waiting {
        place: Place,
        line: Line,
        item: u32,
        /// Checks that were started before it since it arrived, and the most that may be.
        turns: usize,
        turns_max: usize,
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn places_are_bounded_and_everything_that_keeps_its_place_gets_its_turn(
            steps in prop::collection::vec(step(), 400),
        ) {
            let mut queue = Queue::new(RUNNING_MAX, PLACES_MAX);
            let (mut waiting, mut running) = (Vec::<Waiting>::new(), 0);
            for (item, step) in (0..).zip(steps) {
                match step {
                    Step::Enter(line) => {
                        let of_line = waiting.iter().filter(|w| w.line == line).count();
                        let longest = |lane: usize| {
                            let lines: HashSet<Line> = waiting.iter().map(|w| w.line).filter(|l| l.lane() == lane).collect();
                            lines.into_iter().map(|l| waiting.iter().filter(|w| w.line == l).count()).max().unwrap_or(0)
                        };
                        let (longest, known) = (longest(line.lane()), waiting.iter().filter(|w| w.line.lane() == KNOWN).count());
                        match queue.enter(line, item) {
                            Entered::Started(_) => running += 1,
                            Entered::Waits { place, displaced } => {
                                if let Some(displaced) = displaced {
                                    let at = waiting.iter().position(|w| w.item == displaced).expect("it waited");
                                    let gone = waiting.remove(at);
                                    prop_assert_eq!(gone.line.lane(), line.lane(), "lanes do not displace each other");
                                    prop_assert!(longest > of_line + 1);
                                    prop_assert!(waiting.iter().all(|w| w.line != gone.line || w.item < gone.item), "the newest");
                                }
                                // For itself and each check before it in its line: a turn of every line of its lane, and as many
                                // of the other lane. There are four known lines.
                                let lines = if line.lane() == KNOWN { 4 } else { PLACES_MAX };
                                let turns_max = 2 * lines * (of_line + 1);
                                waiting.push(Waiting { place, line, item, turns: 0, turns_max });
                            }
                            Entered::Refused(_) => {
                                prop_assert!(longest <= of_line + 1, "a shorter line is never refused");
                                if line.lane() == KNOWN {
                                    prop_assert!(known >= PLACES_MAX / 4, "the reserved places were free");
                                }
                            }
                        }
                    }
                    Step::Finish if running > 0 => {
                        let next = queue.finish();
                        prop_assert_eq!(next.is_none(), waiting.is_empty());
                        let Some(next) = next else { running -= 1; continue };
                        let started = waiting.remove(waiting.iter().position(|w| w.item == next).expect("it waited"));
                        prop_assert!(waiting.iter().all(|w| w.line != started.line || w.item > started.item), "a line is in order");
                        prop_assert!(started.turns < started.turns_max, "{} turns", started.turns);
                        for other in &mut waiting {
                            other.turns += 1;
                        }
                    }
                    Step::Finish => {}
                    Step::Leave(n) if n < waiting.len() => {
                        let gone = waiting.remove(n);
                        prop_assert_eq!(queue.leave(gone.place), Some(gone.item));
                        prop_assert_eq!(queue.leave(gone.place), None);
                    }
                    Step::Leave(_) => {}
                }
                let known = waiting.iter().filter(|w| w.line.lane() == KNOWN).count();
                prop_assert_eq!((queue.waiting_known(), queue.waiting_other()), (known, waiting.len() - known));
                prop_assert_eq!(queue.running(), running);
                prop_assert!(running <= RUNNING_MAX && running + waiting.len() <= PLACES_MAX);
                prop_assert!(running + waiting.len() - known <= PLACES_MAX - PLACES_MAX / 4, "reserved places");
                prop_assert!(running == RUNNING_MAX || waiting.is_empty(), "no check waits while one could run");
                for lane in &queue.lanes {
                    prop_assert_eq!(lane.turns.len(), lane.lines.len(), "each line once");
                    prop_assert_eq!(lane.lines.values().map(VecDeque::len).sum::<usize>(), lane.waiting);
                }
            }
        }
    }
}
