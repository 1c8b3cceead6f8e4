//! Linearizability: whether the answers of calls that overlapped can be explained by making the calls one after the other.
//!
//! The method is just-in-time linearization (Lowe, "Testing for linearizability", 2017), a relative of the one by Wing and Gong. The
//! history is read in the order of time. A set of configurations is kept: each is a state that the calls so far can have led to,
//! with those calls under way that took effect on the way there. When a call is answered, every configuration in which it has not
//! taken effect is continued by all sequences of calls under way that end with it; those in which its answer would have been
//! another one are dropped. When none is left, no order explains the answers, and that call is the first to show it.
//!
//! A call without an answer may have taken effect, at any time until it is known to be over, or not at all.

use std::collections::HashSet;
use std::hash::Hash;

/// What the calls are made on, when they are made one after the other.
pub trait Model {
    type State: Clone + Eq + Hash;
    type Call;

    /// The states to which a call can lead from this one, with the answer that was recorded for it; of a call without an answer,
    /// with any. None: the call would have been answered differently.
    fn step(&self, state: &Self::State, call: &Self::Call) -> Vec<Self::State>;

    /// Whether a call with this answer changes nothing in any state: it only looked, or was refused.
    fn only_looks(&self, call: &Self::Call) -> bool;
}

/// A call and when it was under way.
#[derive(Debug, Clone)]
pub struct Interval<C> {
    pub call: C,
    /// When it was sent.
    pub begin: u64,
    /// When its answer came, or since when it cannot take effect any more; `None`: it can until the history ends.
    pub end: Option<u64>,
    /// Whether there is an answer. Without one the call may have taken effect or not.
    pub is_answered: bool,
}

/// What was done to find out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Configurations that were visited.
    pub visited: usize,
    /// The most that were kept at one time.
    pub kept_max: usize,
}

/// A history that no order of its calls explains.
#[derive(Debug)]
pub struct Stuck<S> {
    /// The index of the call whose answer cannot be explained.
    pub call: usize,
    /// The states possible just before it was answered, at most [`SHOWN`], each with the calls under way that had taken effect.
    pub possible: Vec<(S, Vec<usize>)>,
    /// The calls that were under way then.
    pub under_way: Vec<usize>,
    /// True: the search was given up at [`VISITED_MAX`] configurations. Then the answer may be right.
    pub gave_up: bool,
}

/// Configurations visited for one answer at most: many times what a history needs, and half a gigabyte. Calls without an answer multiply
/// them, and now and then there are ten of them in one world.
const VISITED_MAX: usize = 3_000_000;
/// States in a [`Stuck`] at most.
pub const SHOWN: usize = 5;

/// Calls under way at one time at most: each is one bit.
const PLACES: usize = 128;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration<S> {
    state: S,
    /// The calls under way that have taken effect, by their places.
    done: u128,
}

/// Whether the history can be explained.
pub fn check<M: Model>(
    model: &M,
    initial: M::State,
    history: &[Interval<M::Call>],
) -> Result<Effort, Box<Stuck<M::State>>> {
    let mut search = Search { model, history, places: [None; PLACES], effort: Effort::default() };
    let mut kept = HashSet::from([Configuration { state: initial, done: 0 }]);
    for event in events(history) {
        match event {
            Event::Begin(call) => {
                let place = search.places.iter().position(Option::is_none).expect("fewer callers than places");
                search.places[place] = Some(call);
                kept = kept.into_iter().map(|c| search.settle(c)).collect();
            }
            Event::End(call) => {
                let place = search.places.iter().position(|p| *p == Some(call)).expect("it has begun");
                kept = match search.explain(&kept, place) {
                    Ok(explained) if !explained.is_empty() => explained,
                    failed => return Err(Box::new(search.stuck(kept, call, failed.is_err()))),
                };
                search.places[place] = None;
            }
        }
        search.effort.kept_max = search.effort.kept_max.max(kept.len());
    }
    Ok(search.effort)
}

enum Event {
    Begin(usize),
    End(usize),
}

/// In the order of time. Of what happened at the same instant beginnings come first: then calls overlap rather than not.
fn events<C>(history: &[Interval<C>]) -> Vec<Event> {
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * history.len());
    for (index, interval) in history.iter().enumerate() {
        events.push((interval.begin, false, index));
        events.extend(interval.end.map(|end| (end, true, index)));
    }
    events.sort_unstable();
    events.into_iter().map(|(_, ends, index)| if ends { Event::End(index) } else { Event::Begin(index) }).collect()
}

struct Search<'h, M: Model> {
    model: &'h M,
    history: &'h [Interval<M::Call>],
    /// The calls under way.
    places: [Option<usize>; PLACES],
    effort: Effort,
}

impl<M: Model> Search<'_, M> {
    fn under_way(&self) -> impl Iterator<Item = (usize, usize)> {
        self.places.iter().enumerate().filter_map(|(place, call)| Some((place, (*call)?)))
    }

    /// Lets all calls under way take effect that only look and whose answer fits. That loses no explanation: in any order that
    /// explains the rest, such a call can be moved to this point. (One that happens to change nothing here, and would elsewhere,
    /// cannot.)
    fn settle(&self, mut at: Configuration<M::State>) -> Configuration<M::State> {
        for (place, call) in self.under_way() {
            let Interval { call, is_answered, .. } = &self.history[call];
            let looks = at.done & (1 << place) == 0 && *is_answered && self.model.only_looks(call);
            if looks && self.model.step(&at.state, call).contains(&at.state) {
                at.done |= 1 << place;
            }
        }
        at
    }

    /// The configurations in which the call at this place, which ends now, has taken effect; of a call without an answer also
    /// those in which it has not. `Err`: too many were visited.
    fn explain(
        &mut self,
        kept: &HashSet<Configuration<M::State>>,
        place: usize,
    ) -> Result<HashSet<Configuration<M::State>>, ()> {
        let bit = 1_u128 << place;
        let may_not = self.places[place].is_some_and(|call| !self.history[call].is_answered);
        let mut explained = HashSet::with_capacity(kept.len());
        let mut seen = HashSet::new();
        let mut open = Vec::new();
        for at in kept {
            if at.done & bit != 0 {
                explained.insert(Configuration { done: at.done & !bit, state: at.state.clone() });
                continue;
            }
            if may_not {
                explained.insert(at.clone());
            }
            seen.insert(at.clone());
            open.push(at.clone());
        }
        let mut visited = 0;
        while let Some(at) = open.pop() {
            visited += 1;
            if visited > VISITED_MAX {
                return Err(());
            }
            for (other, call) in self.under_way() {
                if at.done & (1 << other) != 0 {
                    continue;
                }
                for state in self.model.step(&at.state, &self.history[call].call) {
                    // A call without an answer that changes nothing explains nothing.
                    if state == at.state && !self.history[call].is_answered {
                        continue;
                    }
                    let next = self.settle(Configuration { state, done: at.done | 1 << other });
                    if next.done & bit != 0 {
                        explained.insert(Configuration { done: next.done & !bit, ..next });
                    } else if seen.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
        }
        self.effort.visited += visited;
        Ok(explained)
    }

    fn stuck(&self, before: HashSet<Configuration<M::State>>, call: usize, gave_up: bool) -> Stuck<M::State> {
        let taken =
            |done: u128| self.under_way().filter(move |(place, _)| done & (1 << place) != 0).map(|(_, call)| call);
        let possible = before.into_iter().take(SHOWN).map(|at| (at.state, taken(at.done).collect())).collect();
        Stuck { call, possible, under_way: self.under_way().map(|(_, call)| call).collect(), gave_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One number that is written and read, and added to.
    struct Register;

    #[derive(Debug, Clone, Copy)]
    enum Call {
        Write(i32),
        Read(i32),
        /// With the sum as its answer.
        Add(i32, i32),
    }
    use Call::{Add, Read, Write};

    impl Model for Register {
        type State = i32;
        type Call = Call;

        fn step(&self, state: &i32, call: &Call) -> Vec<i32> {
            match *call {
                Write(value) => vec![value],
                Read(value) => {
                    if value == *state {
                        vec![*state]
                    } else {
                        vec![]
                    }
                }
                Add(value, sum) => {
                    if state + value == sum {
                        vec![sum]
                    } else {
                        vec![]
                    }
                }
            }
        }

        fn only_looks(&self, call: &Call) -> bool {
            matches!(call, Read(_))
        }
    }

    /// Calls with their begin and end; one that ends at 0 has no answer, and one that ends below 0 has none and is over then.
    fn checked(calls: &[(u64, i64, Call)]) -> Result<Effort, Box<Stuck<i32>>> {
        let history: Vec<Interval<Call>> = calls
            .iter()
            .map(|(begin, end, call)| Interval {
                call: *call,
                begin: *begin,
                end: (*end != 0).then_some(end.unsigned_abs()),
                is_answered: *end > 0,
            })
            .collect();
        check(&Register, 0, &history)
    }

    #[test]
    fn what_some_order_explains_is_accepted() {
        for (name, calls) in [
            ("nothing", &[][..]),
            ("one after the other", &[(1, 2, Write(1)), (3, 4, Read(1)), (5, 6, Write(2)), (7, 8, Read(2))]),
            ("a read beside a write sees it", &[(1, 10, Write(1)), (2, 3, Read(1))]),
            ("or does not", &[(1, 10, Write(1)), (2, 3, Read(0)), (11, 12, Read(1))]),
            (
                "two writes in the order that the reads show",
                &[(1, 9, Write(1)), (1, 9, Write(2)), (3, 4, Read(2)), (5, 6, Read(1))],
            ),
            ("each adds once, in any order", &[(1, 9, Add(1, 6)), (1, 9, Add(2, 2)), (1, 9, Add(3, 5))]),
            ("an end and a beginning at one instant overlap", &[(1, 5, Write(1)), (5, 6, Read(0))]),
            ("no answer: it took effect late", &[(1, 0, Write(1)), (2, 3, Read(0)), (4, 5, Read(1))]),
            ("no answer: it never took effect", &[(1, 0, Write(1)), (2, 3, Read(0)), (4, 5, Read(0))]),
            ("no answer: before it was over", &[(1, -4, Write(1)), (2, 3, Read(0)), (5, 6, Read(1))]),
            ("no answer, once seen it stays", &[(1, 0, Write(1)), (2, 3, Read(1)), (4, 5, Write(2)), (6, 7, Read(2))]),
        ] {
            assert!(checked(calls).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_no_order_explains_is_rejected_at_the_first_answer_that_shows_it() {
        for (name, calls, at) in [
            ("a read of what was never written", &[(1, 2, Read(7))][..], 0),
            ("a stale read", &[(1, 2, Write(1)), (3, 4, Read(0)), (5, 6, Read(1))], 1),
            ("a lost write", &[(1, 2, Write(1)), (3, 4, Read(1)), (5, 6, Read(0))], 2),
            (
                "two reads that see two writes in two orders",
                &[(1, 9, Write(1)), (1, 9, Write(2)), (3, 4, Read(1)), (5, 6, Read(2)), (7, 8, Read(1))],
                4,
            ),
            ("two that add to the same number", &[(1, 9, Add(1, 1)), (1, 9, Add(1, 1)), (10, 11, Read(2))], 1),
            ("no answer: it took effect and was taken back", &[(1, 0, Write(1)), (2, 3, Read(1)), (4, 5, Read(0))], 2),
            ("no answer: twice", &[(1, 0, Write(1)), (2, 3, Read(1)), (4, 5, Write(0)), (6, 7, Read(1))], 3),
            ("no answer: after it was over", &[(1, -4, Write(1)), (5, 6, Read(0)), (7, 8, Read(1))], 2),
        ] {
            let stuck = checked(calls).expect_err(name);
            assert_eq!((stuck.call, stuck.gave_up), (at, false), "{name}");
            assert!(!stuck.possible.is_empty() && stuck.under_way.contains(&at), "{name}");
        }
    }

    /// All small histories, against the definition: any permutation that keeps the order of calls that did not overlap.
    #[test]
    fn it_agrees_with_the_definition_on_random_histories() {
        let mut random = crate::kill::Random::from_seed();
        let (mut accepted, mut rejected) = (0, 0);
        for _ in 0..3_000 {
            let calls: Vec<(u64, i64, Call)> = (0..random.between(1, 5))
                .map(|_| {
                    let begin = random.between(1, 12);
                    let end = (begin + random.between(1, 6)) as i64;
                    let call = match random.below(3) {
                        0 => Write(random.below(3) as i32),
                        1 => Read(random.below(3) as i32),
                        _ => Add(1, random.between(1, 3) as i32),
                    };
                    (begin, [end, end, end, 0, -end][random.below(5) as usize], call)
                })
                .collect();
            let is_explained = by_definition(&calls, &mut Vec::new(), 0, 0);
            assert_eq!(checked(&calls).is_ok(), is_explained, "{calls:?}");
            if is_explained { accepted += 1 } else { rejected += 1 }
        }
        assert!(accepted > 300 && rejected > 300, "{accepted} and {rejected}: too few of one kind");
    }

    /// Whether the rest of the calls can follow those in `order`, the last of which took effect at `at`.
    fn by_definition(calls: &[(u64, i64, Call)], order: &mut Vec<usize>, at: u64, state: i32) -> bool {
        let rest: Vec<usize> = (0..calls.len()).filter(|call| !order.contains(call)).collect();
        if rest.iter().all(|call| calls[*call].1 <= 0) {
            return true;
        }
        rest.into_iter().any(|call| {
            let (begin, end, made) = calls[call];
            let at = at.max(begin);
            let in_time = end == 0 || at <= end.unsigned_abs();
            in_time
                && Register.step(&state, &made).into_iter().any(|state| {
                    order.push(call);
                    let explained = by_definition(calls, order, at, state);
                    order.pop();
                    explained
                })
        })
    }
}
