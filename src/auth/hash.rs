//! argon2id: new hashes, stored hashes with limits on their cost, and the hash for unknown users.
//!
//! A stored hash may cost more than a new one, and its user then waits longer for an answer. This must not reveal which users
//! exist, so each unknown user name costs as much as one of the stored hashes. A keyed hash of the name chooses that hash: a name
//! keeps its cost, and each set of parameters is as frequent as among the stored hashes. The key is derived from a stored hash,
//! so that it outlives the process: a cost that changed with each start would reveal that the name is unknown.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher as _, Version};

use sha2::{Digest as _, Sha256};

use super::{PASSWORD_BYTES_MAX, Password, in_lower_case};

/// Memory in KiB, passes and lanes of a new hash, and the minimum for stored hashes (OWASP's minimum for argon2id).
const MEMORY_KIB_MIN: u32 = 19_456;
const PASSES_MIN: u32 = 2;
const LANES: u32 = 1;
/// The highest cost of a stored hash. The parameters come from the database, and one row must not overload the machine.
const MEMORY_KIB_MAX: u32 = 65_536;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 8;

/// A new argon2id hash as a PHC string, with a random salt.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes"));
    }
    let hash = argon2(params_of_new()?).hash_password(password.as_bytes());
    Ok(hash.map_err(|e| e.to_string())?.to_string())
}

/// Minimum length of a new password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// Hashes a new password. Refuses one that is too short; existing passwords stay valid.
pub fn hash_new_password(password: &str) -> Result<String, String> {
    let found = password.chars().count();
    if (1..PASSWORD_CHARS_MIN).contains(&found) {
        return Err(format!("the password has {found} characters: {PASSWORD_CHARS_MIN} are the least"));
    }
    hash_password(password)
}

/// Why a stored hash cannot be used to sign in.
pub fn check_hash(stored: &str) -> Result<(), String> {
    Expected::read(stored).map(drop)
}

/// The hash that a password must have.
#[derive(Clone)]
pub(super) struct Expected {
    params: Params,
    salt: Salt,
    output: Output,
}

impl Expected {
    /// Reads a stored hash, and checks its cost against the limits before any work is done.
    pub fn read(stored: &str) -> Result<Expected, String> {
        let hash = PasswordHash::new(stored).map_err(|e| format!("password_hash is not a PHC string ({e})"))?;
        if hash.algorithm.as_str() != "argon2id" || hash.version != Some(u32::from(Version::V0x13)) {
            return Err("password_hash is not argon2id, version 19".to_owned());
        }
        let params = Params::try_from(&hash).map_err(|e| format!("password_hash has unusable parameters ({e})"))?;
        let bounds = [
            ("m", params.m_cost(), MEMORY_KIB_MIN, MEMORY_KIB_MAX),
            ("t", params.t_cost(), PASSES_MIN, PASSES_MAX),
            ("p", params.p_cost(), LANES, LANES_MAX),
        ];
        for (name, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(format!("password_hash has {name}={value}; {min} to {max} is taken"));
            }
        }
        let (Some(salt), Some(output)) = (hash.salt, hash.hash) else {
            return Err("password_hash has no salt or no hash".to_owned());
        };
        Ok(Expected { params, salt, output })
    }

    /// A hash of no known password. It is random, because computing one would allocate and free 19 MiB, and the allocator would
    /// then keep that much of later freed memory.
    pub fn of_nothing() -> Result<Expected, String> {
        let (mut salt, mut output) = ([0; 16], [0; 32]);
        getrandom::fill(&mut salt).map_err(|e| e.to_string())?;
        getrandom::fill(&mut output).map_err(|e| e.to_string())?;
        Ok(Expected {
            params: params_of_new()?,
            salt: Salt::new(&salt).map_err(|e| e.to_string())?,
            output: Output::new(&output).map_err(|e| e.to_string())?,
        })
    }

    /// The same hash at another cost.
    pub fn with_params(self, params: Params) -> Expected {
        Expected { params, ..self }
    }

    /// The cost of a check: bytes of memory times passes.
    pub fn work_bytes(&self) -> u64 {
        1024 * u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }

    pub fn matches(&self, password: &Password, memory: &mut Vec<Block>) -> bool {
        let blocks = self.params.block_count();
        memory.resize(blocks.max(memory.len()), Block::new());
        let mut output = vec![0; self.output.len()];
        argon2(self.params.clone())
            .hash_password_into_with_memory(password.0.as_bytes(), &self.salt, &mut output, &mut memory[..blocks])
            .is_ok()
            // This comparison takes constant time.
            && Output::new(&output).is_ok_and(|output| output == self.output)
    }
}

/// The parameters of the stored hashes, with the number of hashes that have them. See the module.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// In a fixed order, so that a name keeps its cost as long as the numbers stay the same.
    sets: Vec<(Params, u64)>,
    total: u64,
    key: [u8; 32],
}

impl Costs {
    /// Reads a hash of each set of parameters, with the number of such hashes. Unusable hashes do not count.
    pub fn new(hashes: &[(Arc<str>, u64)]) -> Costs {
        let usable = hashes.iter().filter_map(|(hash, count)| Some((Expected::read(hash).ok()?.params, *count)));
        let mut sets: Vec<(Params, u64)> = usable.collect();
        sets.sort_by_key(|(params, _)| (params.m_cost(), params.t_cost(), params.p_cost()));
        let key = hashes.iter().map(|(hash, _)| &**hash).min().unwrap_or_default();
        Costs { total: sets.iter().map(|(_, count)| count).sum(), sets, key: Sha256::digest(key).into() }
    }

    /// The cost of an unknown user's password. `None`: that of a new hash.
    pub fn of_unknown(&self, user_name: &str) -> Option<Params> {
        let mut hash = Sha256::new_with_prefix(self.key);
        in_lower_case(user_name, |bytes| hash.update(bytes));
        let hash: [u8; 32] = hash.finalize().into();
        let name = hash.iter().take(8).fold(0, |number, byte| number << 8 | u128::from(*byte));
        // A number below `total`, each equally likely.
        let mut at = u64::try_from((name * u128::from(self.total)) >> 64).unwrap_or_default();
        for (params, count) in &self.sets {
            match at.checked_sub(*count) {
                Some(rest) => at = rest,
                None => return Some(params.clone()),
            }
        }
        None
    }
}

fn params_of_new() -> Result<Params, String> {
    Params::new(MEMORY_KIB_MIN, PASSES_MIN, LANES, None).map_err(|e| e.to_string())
}

fn argon2(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_from_the_database_must_be_argon2id_of_a_bearable_cost() {
        let good = hash_password("x").expect("hash");
        check_hash(&good).expect("our own");
        let swap = |from: &str, to: &str| good.replace(from, to);
        for bad in [
            "$argon2id$v=19$m=19456,t=2,p=1$…".to_owned(),
            swap("m=19456", "m=4194304"),
            swap("m=19456", "m=8"),
            swap("t=2", "t=1"),
            swap("t=2", "t=4000000000"),
            swap("p=1", "p=255"),
            swap("argon2id", "argon2i"),
            swap("v=19", "v=16"),
            good.rsplit_once('$').expect("a hash").0.to_owned(),
            "$argon2id$v=19$m=19456,t=2,p=1".to_owned(),
            String::new(),
        ] {
            check_hash(&bad).expect_err(&bad);
        }
        assert!(hash_password("").is_err());
        assert!(hash_password(&"x".repeat(PASSWORD_BYTES_MAX + 1)).is_err());
    }

    fn of_cost(params: &str, count: u64) -> (Arc<str>, u64) {
        (format!("$argon2id$v=19${params}$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo").into(), count)
    }

    /// The memory costs in KiB of this many unknown names, each with the number of names.
    fn spread(costs: &Costs, names: u32) -> Vec<(u32, i32)> {
        let memory = |n| costs.of_unknown(&format!("user{n}")).map_or(MEMORY_KIB_MIN, |params| params.m_cost());
        let mut memory: Vec<u32> = (0..names).map(memory).collect();
        memory.sort_unstable();
        memory.chunk_by(|a, b| a == b).map(|chunk| (chunk[0], chunk.len().try_into().expect("few"))).collect()
    }

    #[test]
    fn unknown_users_cost_what_stored_hashes_cost_as_often() {
        let (new, more, most) = ("m=19456,t=2,p=1", "m=32768,t=3,p=2", "m=65536,t=16,p=1");
        let too_much = "m=65537,t=2,p=1";
        for (hashes, expected) in [
            (vec![], vec![(19_456, 10_000)]),
            (vec![of_cost(new, 7)], vec![(19_456, 10_000)]),
            (vec![of_cost(most, 1)], vec![(65_536, 10_000)]),
            (vec![of_cost(most, 10), of_cost(new, 90)], vec![(19_456, 9000), (65_536, 1000)]),
            (
                vec![of_cost(new, 50), of_cost(more, 25), of_cost(most, 25)],
                vec![(19_456, 5000), (32_768, 2500), (65_536, 2500)],
            ),
            (vec![of_cost(too_much, 1000), of_cost(new, 1)], vec![(19_456, 10_000)]),
            (vec![of_cost(new, u64::MAX / 2), of_cost(most, u64::MAX / 2)], vec![(19_456, 5000), (65_536, 5000)]),
        ] {
            let found = spread(&Costs::new(&hashes), 10_000);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((memory, count), (expected_memory, expected_count)) in found.into_iter().zip(expected) {
                let differs = (count - expected_count).abs();
                assert!(memory == expected_memory && differs < 200, "{memory}: {count}, not {expected_count}");
            }
        }
        let params = Costs::new(&[of_cost(most, 1)]).of_unknown("bob").expect("params");
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (65_536, 16, 1));
    }

    #[test]
    fn a_name_keeps_its_cost() {
        let (new, most, other) = ("m=19456,t=2,p=1", "m=65536,t=16,p=1", "m=20480,t=2,p=1");
        let one = Costs::new(&[of_cost(new, 3), of_cost(most, 3)]);
        let at_the_next_start = Costs::new(&[of_cost(most, 3), of_cost(new, 3)]);
        let elsewhere = Costs::new(&[of_cost(other, 3), of_cost(most, 3)]);
        let mut moved = 0;
        for n in 0..1000 {
            let cost = |costs: &Costs, user_name: &str| costs.of_unknown(user_name).map(|params| params.t_cost());
            let here = cost(&one, &format!("user{n}"));
            assert_eq!(here, cost(&at_the_next_start, &format!("USER{n}")));
            moved += u32::from(here != cost(&elsewhere, &format!("user{n}")));
        }
        assert!((400..600).contains(&moved), "the key is of this database: {moved}");
    }
}
