//! Compares the rules with a model that is too simple to be wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Pools are lists of holders, and every query searches all of them.
#[derive(Debug, Clone)]
struct Model {
    now: i64,
    pools: Vec<ModelPool>,
}

#[derive(Debug, Clone)]
struct ModelPool {
    id: i64,
    entity: i32,
    license_type: LicenseType,
    opens: i64,
    closes: i64,
    seats: Vec<Option<u8>>,
}

#[derive(Debug, Clone)]
enum Step {
    Assign { user: u8, entity: i32, license_type: LicenseType },
    Release { user: u8, license_type: LicenseType },
    Wait { seconds: i64 },
}

impl Model {
    fn facts(&self, user: u8, entity: i32, license_type: LicenseType) -> Facts {
        let time = |t: i64| Timestamp::from_second(t).expect("in range");
        Facts {
            caller: Some(Role::Agent),
            provider: Some(Entity { active: true, in_subtree: true }),
            account: Some(Account { id: i64::from(user), active: true, in_subtree: true }),
            held: self.held(user, license_type),
            pools: self
                .pools
                .iter()
                .filter(|p| p.entity == entity && p.license_type == license_type)
                .map(|p| Pool {
                    id: p.id,
                    seats_total: p.seats.len() as i64,
                    starts_at: Some(time(p.opens)),
                    expires_at: Some(time(p.closes)),
                    free_seat_no: p.seats.iter().position(Option::is_none).map(|at| at as i64),
                })
                .collect(),
        }
    }

    fn held(&self, user: u8, license_type: LicenseType) -> Option<Held> {
        let pool = self.pools.iter().find(|p| p.license_type == license_type && p.seats.contains(&Some(user)))?;
        let seat_no = pool.seats.iter().position(|s| *s == Some(user))? as i64;
        let expires_at = Some(Timestamp::from_second(pool.closes).expect("in range"));
        let seat = SeatId { pool_id: pool.id, seat_no };
        Some(Held { seat, expires_at, entity_id: pool.entity, in_subtree: true })
    }

    fn seat(&mut self, seat: SeatId) -> &mut Option<u8> {
        let pool = self.pools.iter_mut().find(|p| p.id == seat.pool_id).expect("a pool of the model");
        &mut pool.seats[seat.seat_no as usize]
    }

    /// The expected outcome, found by brute force.
    fn expected(&self, user: u8, entity: i32, license_type: LicenseType) -> Result<(), ErrorKind> {
        let of_type = |p: &&ModelPool| p.license_type == license_type;
        if self.pools.iter().filter(of_type).any(|p| p.closes > self.now && p.seats.contains(&Some(user))) {
            return Err(ErrorKind::AlreadyExists);
        }
        let pools: Vec<_> = self.pools.iter().filter(of_type).filter(|p| p.entity == entity).collect();
        let open: Vec<_> = pools.iter().filter(|p| p.opens <= self.now && self.now < p.closes).collect();
        if open.is_empty() {
            let expired = pools.iter().any(|p| p.closes <= self.now);
            return Err(if expired { ErrorKind::LicenseExpired } else { ErrorKind::NoLicensePool });
        }
        if open.iter().all(|p| p.seats.iter().all(Option::is_some)) { Err(ErrorKind::NoFreeSeat) } else { Ok(()) }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Wait { seconds } => self.now += seconds,
            Step::Release { user, license_type } => {
                let held = self.held(user, license_type);
                let holding = Holding { username: Some("bob".into()), license_type: Some(license_type) };
                let account = Some(Account { id: i64::from(user), active: true, in_subtree: true });
                let facts = HoldingFacts { caller: Some(Role::Admin), account, held: held.map(|held| held.seat) };
                match find(&holding, &facts, Role::Admin) {
                    Ok((seat, holder)) => assert_eq!((self.seat(seat).take(), holder), (Some(user), i64::from(user))),
                    Err(refusal) => {
                        assert_eq!(ErrorKind::from(&refusal), ErrorKind::NotAssigned);
                        assert!(held.is_none());
                    }
                }
            }
            Step::Assign { user, entity, license_type } => {
                let request = AssignRequest {
                    username: Some("bob".into()),
                    provider_entity_id: Some(entity),
                    license_type: Some(license_type),
                };
                let facts = self.facts(user, entity, license_type);
                let now = Timestamp::from_second(self.now).expect("in range");
                let decision = assign(&request, &facts, true, now);
                assert_eq!(
                    decision.as_ref().map(drop).map_err(ErrorKind::from),
                    self.expected(user, entity, license_type)
                );
                let Ok(assignment) = decision else { return };
                if let Some(seat) = assignment.give_up {
                    assert_eq!(self.seat(seat).take(), Some(user), "gives up its own seat");
                }
                let now = self.now;
                let open_until = |p: &ModelPool| p.opens <= now && now < p.closes;
                let earliest = self
                    .pools
                    .iter()
                    .filter(|p| p.entity == entity && p.license_type == license_type && open_until(p))
                    .filter(|p| p.seats.contains(&None))
                    .map(|p| p.closes)
                    .min();
                let taken = self.pools.iter().find(|p| p.id == assignment.seat.pool_id).expect("a pool of the model");
                assert!(open_until(taken) && taken.entity == entity && taken.license_type == license_type);
                assert_eq!(Some(taken.closes), earliest, "drawn from the pool that expires first");
                assert_eq!(self.seat(assignment.seat).replace(user), None, "the seat was free");
            }
        }
        self.check();
    }

    /// No user holds two seats of a type.
    fn check(&self) {
        let mut holders = BTreeMap::new();
        for pool in &self.pools {
            for user in pool.seats.iter().flatten() {
                let seats: &mut u32 = holders.entry((*user, pool.license_type.name())).or_default();
                *seats += 1;
                assert_eq!(*seats, 1, "user {user} holds two of {}", pool.license_type);
            }
        }
    }
}

fn license_type() -> impl Strategy<Value = LicenseType> {
    (0..2usize).prop_map(|i| LicenseType::ALL[i])
}

fn pool() -> impl Strategy<Value = ModelPool> {
    (1..3i32, license_type(), 0..40i64, 1..60i64, 0..4usize).prop_map(|(entity, license_type, opens, lasts, seats)| {
        ModelPool { id: 0, entity, license_type, opens, closes: opens + lasts, seats: vec![None; seats] }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8u8, 1..3i32, license_type()).prop_map(|(user, entity, license_type)| Step::Assign { user, entity, license_type }),
        2 => (0..8u8, license_type()).prop_map(|(user, license_type)| Step::Release { user, license_type }),
        1 => (0..10i64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// Steps of one run; 200 runs make the ten thousand operations of the suite. `PROPTEST_CASES=20000` makes a million.
const STEPS: usize = 50;

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_agree_with_a_simple_model(
        pools in prop::collection::vec(pool(), 0..6),
        steps in prop::collection::vec(step(), STEPS),
    ) {
        let pools = pools.into_iter().zip(1..).map(|(pool, id)| ModelPool { id, ..pool }).collect();
        let mut model = Model { now: 0, pools };
        for step in &steps {
            model.run(step);
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}
