//! What calls do when they are made one after the other: the rules of seats once more, written from the contract with users
//! (docs/agents.md, docs/admins.md) and not from the code of the service, for a small world.
//!
//! A world is two owners with eight pools of a few seats, and six users. Worlds share nothing, so the history of each is checked
//! by itself, and exactly: calls that touch several types or both owners are one step here as they are there.
//!
//! Which seat of a pool a user holds is not modelled: a seat is one row, and the database keeps two users from one row. Which pool it
//! is, and all numbers, are.

use serde::{Deserialize, Serialize};

use super::checker::{Interval, Model};

pub const USERS: usize = 6;
pub const POOLS: usize = 8;
pub const TYPES: [&str; 3] = ["SkraftDiskImageV5", "SqlBackup", "ExchangeBackup"];

/// Indices: of a user, an owner (0 or 1), a type (in [`TYPES`]), a pool (in [`LAYOUT`]).
pub type User = u8;
pub type Owner = u8;
pub type Type = u8;
pub type PoolNo = u8;

/// When seats of a pool are given out. X is a moment that the service's clock steps over, there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Window {
    Always,
    Past,
    UntilX,
    FromX,
}

/// On which side of X a clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side {
    Before,
    After,
}

impl Window {
    fn has_expired(self, side: Side) -> bool {
        self == Window::Past || self == Window::UntilX && side == Side::After
    }

    fn is_open(self, side: Side) -> bool {
        let has_started = self != Window::FromX || side == Side::After;
        has_started && !self.has_expired(side)
    }

    /// The end, for an order: what ends first is used first.
    fn end(self) -> u8 {
        match self {
            Window::Past => 0,
            Window::UntilX => 1,
            Window::Always | Window::FromX => 2,
        }
    }
}

/// Owner, type and window of each pool, in the order of their ids.
pub const LAYOUT: [(Owner, Type, Window); POOLS] = [
    (0, 0, Window::Always),
    (0, 1, Window::Always),
    (0, 2, Window::Always),
    (0, 1, Window::UntilX),
    (1, 1, Window::Always),
    (1, 0, Window::Always),
    (1, 2, Window::UntilX),
    (1, 2, Window::FromX),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    pub seats: u8,
    /// The most that ever were in use.
    pub in_use_max: u8,
    pub window: Window,
}

/// The seats of each type that an owner is offered, where the offer says something of the type.
pub type Offer = [Option<u8>; 3];

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    pub pools: [Pool; POOLS],
    /// The pool of the seat that each user holds of each type.
    pub held: [[Option<PoolNo>; 3]; USERS],
    pub offers: [Option<Offer>; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    Assign {
        user: User,
        owner: Owner,
        of: Type,
    },
    Release {
        user: User,
        of: Type,
    },
    Transfer {
        from: User,
        to: User,
        of: Type,
    },
    /// Each item is a user, an owner and a type.
    Bulk {
        items: Vec<(User, Owner, Type)>,
        dry_run: bool,
    },
    AssignModules {
        user: User,
        owner: Owner,
        of: Vec<Type>,
    },
    ReleaseModules {
        user: User,
        owner: Owner,
        of: Vec<Type>,
    },
    /// What is offered is activated: all that is offered under the owner's serial number, or a license with these seats of each type,
    /// as the caller has seen it.
    Activate {
        owner: Owner,
        presented: Option<[u8; 3]>,
    },
    Pools {
        owner: Owner,
    },
    Holders,
    Details {
        user: User,
        of: Type,
    },
    License {
        owner: Owner,
    },
    Status {
        owner: Owner,
    },
    Modules {
        user: User,
        owner: Owner,
    },
    /// By hand, in SQL.
    HandRelease {
        user: User,
        of: Type,
    },
    HandAssign {
        user: User,
        pool: PoolNo,
    },
    HandMove {
        user: User,
        of: Type,
        pool: PoolNo,
    },
    Resize {
        pool: PoolNo,
        seats: u8,
    },
    SetWindow {
        pool: PoolNo,
        window: Window,
    },
    SetOffer {
        owner: Owner,
        offer: Option<Offer>,
    },
    ReadAll,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    /// By hand: no row was changed.
    Nothing,
    /// By hand: the database refused.
    Refused,
    AlreadyHeld {
        pool: PoolNo,
    },
    NoFreeSeat {
        seats: u8,
        pools: u8,
    },
    NoPool,
    Expired,
    NotAssigned,
    TooSmall {
        of: Type,
        in_use: u8,
        seats: u8,
    },
    /// The license presented is not the one that is offered.
    NotGranted,
    NothingOffered,
    Items(Vec<Reply>),
    Pools(Vec<PoolLine>),
    /// In the order of users and types.
    Holders(Vec<(User, Type)>),
    Details {
        pool: PoolNo,
    },
    License {
        numbers: [Numbers; 3],
        can_be_activated: bool,
    },
    Status(Status),
    /// Of each type that the user holds: the type, seats in total, seats in use.
    Links(Vec<(Type, u8, u8)>),
    All(Box<State>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolLine {
    pub pool: PoolNo,
    pub seats: u8,
    pub in_use: u8,
    pub in_use_max: u8,
    pub window: Window,
}

/// In use, free, added, new total, new free, total.
pub type Numbers = [i32; 6];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Ok,
    NewLicenseAvailable,
    TooSmall { of: Type, in_use: u8, seats: u8 },
}

impl State {
    /// Nothing is held; pools have these seats.
    pub fn new(seats: [u8; POOLS]) -> State {
        let pool = |at: usize| Pool { seats: seats[at], in_use_max: 0, window: LAYOUT[at].2 };
        State { pools: std::array::from_fn(pool), held: [[None; 3]; USERS], offers: [None; 2] }
    }

    /// Makes a call while the service's clock is on this side of X.
    pub fn make(&mut self, call: &Call, side: Side) -> Reply {
        match call {
            Call::Assign { user, owner, of } => done(self.assign(*user, *owner, *of, side)),
            Call::Release { user, of } => match self.held[usize::from(*user)][usize::from(*of)].take() {
                Some(_) => Reply::Done,
                None => Reply::NotAssigned,
            },
            Call::Transfer { from, to, of } => done(self.transfer(*from, *to, *of, side)),
            Call::Bulk { items, dry_run } => {
                let before = self.clone();
                let replies =
                    items.iter().map(|(user, owner, of)| done(self.assign(*user, *owner, *of, side))).collect();
                if *dry_run {
                    *self = before;
                }
                Reply::Items(replies)
            }
            Call::AssignModules { user, owner, of } => {
                let before = self.clone();
                for of in of {
                    match self.assign(*user, *owner, *of, side) {
                        Err(Reply::AlreadyHeld { pool }) if LAYOUT[usize::from(pool)].0 == *owner => {}
                        Err(refused) => {
                            *self = before;
                            return refused;
                        }
                        Ok(()) => {}
                    }
                }
                self.links(*user, *owner, side)
            }
            Call::ReleaseModules { user, owner, of } => {
                for of in of {
                    let held = &mut self.held[usize::from(*user)][usize::from(*of)];
                    if held.is_some_and(|pool| LAYOUT[usize::from(pool)].0 == *owner) {
                        *held = None;
                    }
                }
                self.links(*user, *owner, side)
            }
            Call::Activate { owner, presented } => self.activate(*owner, *presented, side),
            Call::Pools { owner } => Reply::Pools(self.pool_lines(*owner)),
            Call::Holders => {
                let pairs = (0..USERS as u8).flat_map(|user| (0..3).map(move |of| (user, of)));
                Reply::Holders(pairs.filter(|(user, of)| self.holds(*user, *of).is_some()).collect())
            }
            Call::Details { user, of } => {
                self.holds(*user, *of).map_or(Reply::NotAssigned, |pool| Reply::Details { pool })
            }
            Call::License { owner } => Reply::License {
                numbers: [0, 1, 2].map(|of| self.numbers(*owner, of, side)),
                can_be_activated: self.obstacle(*owner, side).is_none(),
            },
            Call::Status { owner } => Reply::Status(self.status(*owner, side)),
            Call::Modules { user, owner } => self.links(*user, *owner, side),
            _ => self.change_by_hand(call),
        }
    }

    fn change_by_hand(&mut self, call: &Call) -> Reply {
        match call {
            Call::HandRelease { user, of } => match self.held[usize::from(*user)][usize::from(*of)].take() {
                Some(_) => Reply::Done,
                None => Reply::Nothing,
            },
            Call::HandAssign { user, pool } => {
                let of = LAYOUT[usize::from(*pool)].1;
                if self.free(*pool) == 0 {
                    Reply::Nothing
                } else if self.holds(*user, of).is_some() {
                    Reply::Refused
                } else {
                    self.take(*user, *pool);
                    Reply::Done
                }
            }
            // Gives up what the user holds and takes a seat of the pool, in one transaction.
            Call::HandMove { user, of, pool } => {
                self.held[usize::from(*user)][usize::from(*of)] = None;
                if self.free(*pool) > 0 {
                    self.take(*user, *pool);
                }
                Reply::Done
            }
            Call::Resize { pool, seats } => {
                if *seats < self.in_use(*pool) {
                    return Reply::Refused;
                }
                self.pools[usize::from(*pool)].seats = *seats;
                Reply::Done
            }
            Call::SetWindow { pool, window } => {
                self.pools[usize::from(*pool)].window = *window;
                Reply::Done
            }
            Call::SetOffer { owner, offer } => {
                self.offers[usize::from(*owner)] = *offer;
                Reply::Done
            }
            _ => Reply::All(Box::new(self.clone())),
        }
    }

    pub fn holds(&self, user: User, of: Type) -> Option<PoolNo> {
        self.held[usize::from(user)][usize::from(of)]
    }

    pub fn in_use(&self, pool: PoolNo) -> u8 {
        self.held.iter().flatten().filter(|held| **held == Some(pool)).count() as u8
    }

    fn free(&self, pool: PoolNo) -> u8 {
        self.pools[usize::from(pool)].seats - self.in_use(pool)
    }

    fn window(&self, pool: PoolNo) -> Window {
        self.pools[usize::from(pool)].window
    }

    fn of_type(owner: Owner, of: Type) -> impl Iterator<Item = PoolNo> {
        (0..POOLS as u8).filter(move |pool| (LAYOUT[usize::from(*pool)].0, LAYOUT[usize::from(*pool)].1) == (owner, of))
    }

    /// The pools of a type from which seats are given out, what ends first in front.
    fn open(&self, owner: Owner, of: Type, side: Side) -> Vec<PoolNo> {
        let mut open: Vec<PoolNo> = Self::of_type(owner, of).filter(|pool| self.window(*pool).is_open(side)).collect();
        open.sort_by_key(|pool| (self.window(*pool).end(), *pool));
        open
    }

    fn take(&mut self, user: User, pool: PoolNo) {
        self.held[usize::from(user)][usize::from(LAYOUT[usize::from(pool)].1)] = Some(pool);
        let in_use = self.in_use(pool);
        let at = &mut self.pools[usize::from(pool)];
        at.in_use_max = at.in_use_max.max(in_use);
    }

    /// The seat that a user would have to hold no more: one of an expired pool is given up for a new one.
    fn check_held(&self, user: User, of: Type, side: Side) -> Result<(), Reply> {
        match self.holds(user, of) {
            Some(pool) if !self.window(pool).has_expired(side) => Err(Reply::AlreadyHeld { pool }),
            _ => Ok(()),
        }
    }

    fn assign(&mut self, user: User, owner: Owner, of: Type, side: Side) -> Result<(), Reply> {
        self.check_held(user, of, side)?;
        let open = self.open(owner, of, side);
        if open.is_empty() {
            let has_expired = Self::of_type(owner, of).any(|pool| self.window(pool).has_expired(side));
            return Err(if has_expired { Reply::Expired } else { Reply::NoPool });
        }
        let Some(pool) = open.iter().copied().find(|pool| self.free(*pool) > 0) else {
            let seats = open.iter().map(|pool| self.pools[usize::from(*pool)].seats).sum();
            return Err(Reply::NoFreeSeat { seats, pools: open.len() as u8 });
        };
        self.held[usize::from(user)][usize::from(of)] = None;
        self.take(user, pool);
        Ok(())
    }

    fn transfer(&mut self, from: User, to: User, of: Type, side: Side) -> Result<(), Reply> {
        let pool = self.holds(from, of).ok_or(Reply::NotAssigned)?;
        self.check_held(to, of, side)?;
        if self.window(pool).has_expired(side) {
            return Err(Reply::Expired);
        }
        self.held[usize::from(from)][usize::from(of)] = None;
        self.held[usize::from(to)][usize::from(of)] = None;
        self.take(to, pool);
        Ok(())
    }

    /// Seats in total and in use, of the open pools.
    fn totals(&self, owner: Owner, of: Type, side: Side) -> (u8, u8) {
        let open = self.open(owner, of, side);
        let seats = open.iter().map(|pool| self.pools[usize::from(*pool)].seats).sum();
        (seats, open.iter().map(|pool| self.in_use(*pool)).sum())
    }

    fn offered(&self, owner: Owner, of: Type, side: Side) -> u8 {
        let offered = self.offers[usize::from(owner)].and_then(|offer| offer[usize::from(of)]);
        offered.unwrap_or(self.totals(owner, of, side).0)
    }

    fn numbers(&self, owner: Owner, of: Type, side: Side) -> Numbers {
        let (total, in_use) = self.totals(owner, of, side);
        let new = self.offered(owner, of, side);
        let [total, in_use, new] = [total, in_use, new].map(i32::from);
        [in_use, total - in_use, new - total, new, new - in_use, total]
    }

    /// Of the first type of which more seats are in use than are offered.
    fn obstacle(&self, owner: Owner, side: Side) -> Option<(Type, u8, u8)> {
        (0..3).find_map(|of| {
            let (in_use, seats) = (self.totals(owner, of, side).1, self.offered(owner, of, side));
            (seats < in_use).then_some((of, in_use, seats))
        })
    }

    fn status(&self, owner: Owner, side: Side) -> Status {
        if let Some((of, in_use, seats)) = self.obstacle(owner, side) {
            return Status::TooSmall { of, in_use, seats };
        }
        let differs = (0..3).any(|of| self.offered(owner, of, side) != self.totals(owner, of, side).0);
        if differs { Status::NewLicenseAvailable } else { Status::Ok }
    }

    /// The pools follow the offer: seats are added to the pool that lasts longest, and free ones taken from those that end first.
    fn activate(&mut self, owner: Owner, presented: Option<[u8; 3]>, side: Side) -> Reply {
        match presented {
            Some(seats) if seats != [0, 1, 2].map(|of| self.offered(owner, of, side)) => return Reply::NotGranted,
            None if self.offers[usize::from(owner)].is_none() => return Reply::NothingOffered,
            _ => {}
        }
        if let Some((of, in_use, seats)) = self.obstacle(owner, side) {
            return Reply::TooSmall { of, in_use, seats };
        }
        for of in 0..3 {
            let mut open = self.open(owner, of, side);
            // Of those that last equally long the oldest grows, and the newest shrinks first.
            open.sort_by_key(|pool| (self.window(*pool).end(), std::cmp::Reverse(*pool)));
            let (total, seats) = (self.totals(owner, of, side).0, self.offered(owner, of, side));
            if let (true, Some(last)) = (seats > total, open.last()) {
                self.pools[usize::from(*last)].seats += seats - total;
            }
            let mut less = total.saturating_sub(seats);
            for pool in open {
                let taken = less.min(self.free(pool));
                self.pools[usize::from(pool)].seats -= taken;
                less -= taken;
            }
        }
        self.offers[usize::from(owner)] = None;
        Reply::Done
    }

    fn pool_lines(&self, owner: Owner) -> Vec<PoolLine> {
        let line = |pool: PoolNo| {
            let Pool { seats, in_use_max, window } = self.pools[usize::from(pool)];
            PoolLine { pool, seats, in_use: self.in_use(pool), in_use_max, window }
        };
        (0..POOLS as u8).filter(|pool| LAYOUT[usize::from(*pool)].0 == owner).map(line).collect()
    }

    fn links(&self, user: User, owner: Owner, side: Side) -> Reply {
        let link = |of: Type| {
            let pool = self.holds(user, of)?;
            let (total, in_use) = self.totals(owner, of, side);
            self.open(owner, of, side).contains(&pool).then_some((of, total, in_use))
        };
        Reply::Links((0..3).filter_map(link).collect())
    }
}

fn done(outcome: Result<(), Reply>) -> Reply {
    outcome.err().unwrap_or(Reply::Done)
}

/// A call as it was made: with the answer, if one came, and the sides of X on which the service's clock was meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub call: Call,
    pub reply: Option<Reply>,
    pub sides: Vec<Side>,
    /// It was decided before it took effect, while others changed pools, and its types one after the other: a seat is of any pool of the
    /// type that has a free one, an activation removes free seats from any of them, and a refusal is that of one of the types, whatever
    /// became of the others.
    #[serde(default)]
    pub is_decided_before: bool,
}

impl State {
    /// The states after a call that was decided before: see [`Made::is_decided_before`].
    fn after_decision(&self, made: &Made, side: Side) -> Vec<State> {
        let is_done = matches!(made.reply, None | Some(Reply::Done));
        match (&made.call, &made.reply) {
            (Call::Assign { user, owner, of }, _) if is_done => self.with_any_seat(*user, *owner, *of),
            (Call::Activate { owner, .. }, _) if is_done => self.with_any_seats_removed(made, *owner, side),
            (Call::Transfer { from, to, of }, _) if is_done => self.with_seat_transferred(*from, *to, *of),
            (Call::AssignModules { user, owner, of }, _) if is_done => {
                of.iter().fold(vec![self.clone()], |states, of| {
                    let with_seat = |state: State| {
                        let mut states = state.with_any_seat(*user, *owner, *of);
                        let has_one = state.holds(*user, *of).is_some_and(|pool| LAYOUT[usize::from(pool)].0 == *owner);
                        states.extend(has_one.then_some(state));
                        states
                    };
                    states.into_iter().flat_map(with_seat).collect()
                })
            }
            (Call::AssignModules { user, owner, of }, Some(refused)) => {
                let is_refused =
                    |of: &Type| self.clone().assign(*user, *owner, *of, side).err().as_ref() == Some(refused);
                if of.iter().any(is_refused) { vec![self.clone()] } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// With the seat of one user held by another, who gives up one whose pool can have expired.
    fn with_seat_transferred(&self, from: User, to: User, of: Type) -> Vec<State> {
        let is_kept = self.holds(to, of).is_some_and(|pool| self.window(pool) == Window::Always);
        let Some(pool) = self.holds(from, of).filter(|_| from != to && !is_kept) else { return Vec::new() };
        let mut state = self.clone();
        state.held[usize::from(from)][usize::from(of)] = None;
        state.held[usize::from(to)][usize::from(of)] = None;
        state.take(to, pool);
        vec![state]
    }

    /// Activated as the rules have it, but for the pools that free seats are taken from: each of the type may lose any of them.
    fn with_any_seats_removed(&self, made: &Made, owner: Owner, side: Side) -> Vec<State> {
        let mut activated = self.clone();
        if activated.make(&made.call, side) != Reply::Done {
            return Vec::new();
        }
        (0..3).fold(vec![activated], |states, of| {
            let pools: Vec<PoolNo> = self.open(owner, of, side);
            let seats = |state: &State| pools.iter().map(|pool| state.pools[usize::from(*pool)].seats).sum::<u8>();
            if seats(&states[0]) >= seats(self) {
                return states;
            }
            let (mut all, less) = (Vec::new(), seats(self) - seats(&states[0]));
            for state in states {
                // What each pool may lose, one pool after the other.
                let mut splits = vec![(state, less)];
                for pool in &pools {
                    let (at, free) = (usize::from(*pool), self.free(*pool));
                    let with_less = |(state, less): (State, u8)| {
                        (0..=less.min(free)).map(move |lost| {
                            let mut state = state.clone();
                            state.pools[at].seats = self.pools[at].seats - lost;
                            (state, less - lost)
                        })
                    };
                    splits = splits.into_iter().flat_map(with_less).collect();
                }
                all.extend(splits.into_iter().filter(|(_, less)| *less == 0).map(|(state, _)| state));
            }
            all
        })
    }

    /// With a seat of any pool of the type; one that is held is given up if its pool can have expired.
    fn with_any_seat(&self, user: User, owner: Owner, of: Type) -> Vec<State> {
        if self.holds(user, of).is_some_and(|pool| self.window(pool) == Window::Always) {
            return Vec::new();
        }
        let mut without = self.clone();
        without.held[usize::from(user)][usize::from(of)] = None;
        let with_seat_of = |pool| {
            let mut state = without.clone();
            state.take(user, pool);
            state
        };
        Self::of_type(owner, of).filter(|pool| self.free(*pool) > 0).map(with_seat_of).collect()
    }
}

impl Reply {
    /// Whether an answer says what the rules have. `Done` of a call that tells numbers: they were not looked at.
    fn fits(&self, rules: &Reply) -> bool {
        self == rules || *self == Reply::Done && matches!(rules, Reply::Links(_))
    }
}

/// The rules as the checker asks for them.
pub struct Rules;

impl Model for Rules {
    type State = State;
    type Call = Made;

    fn step(&self, state: &State, made: &Made) -> Vec<State> {
        let mut states = Vec::with_capacity(1);
        for side in &made.sides {
            if made.is_decided_before {
                states.extend(state.after_decision(made, *side));
            }
            let mut after = state.clone();
            let reply = after.make(&made.call, *side);
            if made.reply.as_ref().is_none_or(|recorded| recorded.fits(&reply)) && !states.contains(&after) {
                states.push(after);
            }
        }
        states
    }

    fn only_looks(&self, made: &Made) -> bool {
        let Some(reply) = &made.reply else { return false };
        match (&made.call, reply) {
            (Call::Pools { .. } | Call::Holders | Call::Details { .. } | Call::License { .. }, _) => true,
            (Call::Status { .. } | Call::Modules { .. } | Call::ReadAll, _) => true,
            (Call::Bulk { dry_run, .. }, Reply::Items(replies)) => *dry_run || !replies.contains(&Reply::Done),
            (_, Reply::Done | Reply::Links(_)) => false,
            _ => true,
        }
    }
}

/// What the model would have answered in a state, on each side that the clock was.
pub fn would_answer(state: &State, made: &Made) -> Vec<Reply> {
    let mut replies: Vec<Reply> = made.sides.iter().map(|side| state.clone().make(&made.call, *side)).collect();
    replies.dedup();
    replies
}

pub type History = Vec<Interval<Made>>;

#[cfg(test)]
mod tests {
    use super::super::checker::check;
    use super::*;

    const SEATS: [u8; POOLS] = [1, 1, 1, 1, 2, 1, 1, 1];

    /// Calls with their begin and end; all are answered, the clock is before X.
    fn stuck_at(calls: &[(u64, u64, Call, Reply)]) -> Option<usize> {
        let history: History = calls
            .iter()
            .map(|(begin, end, call, reply)| {
                let made = Made {
                    call: call.clone(),
                    reply: Some(reply.clone()),
                    sides: vec![Side::Before],
                    is_decided_before: false,
                };
                Interval { call: made, begin: *begin, end: Some(*end), is_answered: true }
            })
            .collect();
        check(&Rules, State::new(SEATS), &history).err().map(|stuck| stuck.call)
    }

    fn assign(user: User, owner: Owner, of: Type) -> Call {
        Call::Assign { user, owner, of }
    }

    const FULL: Reply = Reply::NoFreeSeat { seats: 1, pools: 1 };

    #[test]
    fn refusals_must_have_been_true_at_some_moment_of_the_call() {
        let release = |user| Call::Release { user, of: 0 };
        for (name, calls, expected) in [
            (
                "the last seat goes to one of two",
                vec![(1, 9, assign(0, 0, 0), Reply::Done), (1, 9, assign(1, 0, 0), FULL)],
                None,
            ),
            ("to neither of two", vec![(1, 9, assign(0, 0, 0), FULL), (1, 9, assign(1, 0, 0), FULL)], Some(0)),
            ("to both", vec![(1, 9, assign(0, 0, 0), Reply::Done), (1, 9, assign(1, 0, 0), Reply::Done)], Some(1)),
            (
                "none free while one was free all along",
                vec![
                    (1, 2, assign(0, 0, 0), Reply::Done),
                    (3, 4, release(0), Reply::Done),
                    (5, 6, assign(1, 0, 0), FULL),
                ],
                Some(2),
            ),
            (
                "none free, before the release that ran beside it",
                vec![
                    (1, 2, assign(0, 0, 0), Reply::Done),
                    (3, 6, release(0), Reply::Done),
                    (5, 6, assign(1, 0, 0), FULL),
                ],
                None,
            ),
            (
                "the number of seats that are in use is the number of that moment",
                vec![
                    (1, 2, assign(0, 0, 0), Reply::Done),
                    (3, 4, assign(1, 0, 0), Reply::NoFreeSeat { seats: 2, pools: 1 }),
                ],
                Some(1),
            ),
            (
                "what ends first is used first",
                vec![(1, 2, assign(0, 0, 1), Reply::Done), (3, 4, assign(0, 1, 1), Reply::AlreadyHeld { pool: 1 })],
                Some(1),
            ),
            (
                "and says so",
                vec![(1, 2, assign(0, 0, 1), Reply::Done), (3, 4, assign(0, 1, 1), Reply::AlreadyHeld { pool: 3 })],
                None,
            ),
            (
                "a transfer is one step",
                vec![
                    (1, 2, assign(0, 0, 0), Reply::Done),
                    (3, 9, Call::Transfer { from: 0, to: 1, of: 0 }, Reply::Done),
                    (4, 5, Call::Holders, Reply::Holders(vec![])),
                ],
                Some(2),
            ),
            (
                "all modules or none",
                vec![
                    (1, 2, assign(1, 0, 0), Reply::Done),
                    (3, 4, Call::AssignModules { user: 0, owner: 0, of: vec![2, 0] }, FULL),
                    (5, 6, Call::Holders, Reply::Holders(vec![(0, 2), (1, 0)])),
                ],
                Some(2),
            ),
        ] {
            assert_eq!(stuck_at(&calls), expected, "{name}");
        }
    }

    #[test]
    fn the_clock_decides_about_windows() {
        let mut state = State::new(SEATS);
        let assign = |state: &mut State, user, side| state.make(&Call::Assign { user, owner: 1, of: 2 }, side);
        assert_eq!(assign(&mut state, 0, Side::Before), Reply::Done);
        assert_eq!(state.holds(0, 2), Some(6));
        assert_eq!(assign(&mut state, 1, Side::Before), Reply::NoFreeSeat { seats: 1, pools: 1 });
        assert_eq!(assign(&mut state, 0, Side::After), Reply::Done, "the seat of the expired pool is given up");
        assert_eq!((state.holds(0, 2), state.in_use(6)), (Some(7), 0));
        assert_eq!(assign(&mut state, 1, Side::After), Reply::NoFreeSeat { seats: 1, pools: 1 });
        state.pools[7].window = Window::Past;
        assert_eq!(assign(&mut state, 1, Side::After), Reply::Expired);
        state.pools[6].window = Window::FromX;
        state.pools[7].window = Window::FromX;
        assert_eq!(assign(&mut state, 1, Side::Before), Reply::NoPool);
    }

    #[test]
    fn activation_adds_to_the_pool_that_lasts_and_takes_from_the_one_that_ends_first() {
        let mut state = State::new(SEATS);
        state.make(&Call::Assign { user: 0, owner: 0, of: 1 }, Side::Before);
        let offer = |state: &mut State, seats| {
            state.make(&Call::SetOffer { owner: 0, offer: Some([None, Some(seats), None]) }, Side::Before);
            let status = state.make(&Call::Status { owner: 0 }, Side::Before);
            (
                status,
                state.make(&Call::Activate { owner: 0, presented: None }, Side::Before),
                state.pools[1].seats,
                state.pools[3].seats,
            )
        };
        assert_eq!(offer(&mut state, 5), (Reply::Status(Status::NewLicenseAvailable), Reply::Done, 4, 1));
        assert_eq!(offer(&mut state, 1), (Reply::Status(Status::NewLicenseAvailable), Reply::Done, 0, 1));
        let (of, in_use, seats) = (1, 1, 0);
        let refused = offer(&mut state, 0);
        assert_eq!(
            refused,
            (Reply::Status(Status::TooSmall { of, in_use, seats }), Reply::TooSmall { of, in_use, seats }, 0, 1)
        );
        assert!(state.offers[0].is_some());
    }
}
