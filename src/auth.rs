//! Credentials: whether a password is the one whose argon2id hash is stored.
//!
//! * A verification costs about 25 ms and 19 MiB. It runs off the async threads, on half the cores at a time at most, behind
//!   a bounded queue; what does not fit is refused at once.
//! * An unknown user name costs the same work as a wrong password.
//! * Agents sign in on every call, so a proof that succeeded is remembered for a short time, under a hash of user name
//!   and password keyed with a random key of this process, together with the stored hash it was proved against. Whoever
//!   uses a remembered proof must see that the stored hash is still that one; the store does, in the call's transaction.
//! * Who signs in for tickets with a remembered proof gets the same ticket again.
//! * Failures slow down further guesses at the same user name from the same address. Others, and the owner elsewhere,
//!   are not slowed.

mod ticket;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher as _, Version};
use hmac::{Hmac, KeyInit as _, Mac as _};
use quick_cache::sync::Cache;
use sha2::Sha256;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::metrics::Metrics;
pub use ticket::{TICKET_LIFE, Ticket};

/// Memory in KiB, passes and lanes of a new hash, and the least a stored hash may have (OWASP's minimum for argon2id).
const MEMORY_KIB_MIN: u32 = 19_456;
const PASSES_MIN: u32 = 2;
const LANES: u32 = 1;
/// The most a stored hash may cost. The parameters come from the database, and one row must not take the machine down.
const MEMORY_KIB_MAX: u32 = 65_536;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 8;
/// Longest password that is looked at, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// How sign-ins are run. See `seatkeeper serve --help`.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a proof is remembered; zero: not at all.
    pub remember: Duration,
    /// Verifications at a time.
    pub verifications_max: usize,
    /// Verifications that may wait for their turn; one more is refused.
    pub waiting_max: usize,
    /// Wrong passwords in a row, for one user name from one address, before guesses are slowed down.
    pub failures_max: u32,
    /// After that one guess is allowed each time this has passed.
    pub failure_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            remember: Duration::from_secs(300),
            // Half the cores: the rest is for calls that are signed in already.
            verifications_max: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            waiting_max: 256,
            failures_max: 10,
            failure_interval: Duration::from_secs(6),
        }
    }
}

/// A password on its way to the check. It cannot be printed and is wiped from memory when dropped.
pub struct Password(Zeroizing<String>);

impl Password {
    pub fn new(password: String) -> Password {
        Password(Zeroizing::new(password))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who somebody claims to be, with the proof they brought.
pub struct Claim {
    pub user_name: String,
    pub password: Password,
    /// Where the claim comes from.
    pub peer: IpAddr,
}

/// Why a claim was not proved.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// User unknown or password wrong; nobody is told which.
    #[error("user name or password not valid")]
    Wrong,
    #[error("too many wrong passwords; wait {} seconds", .wait.as_secs().max(1))]
    Throttled { wait: Duration },
    #[error("too many sign-ins at once")]
    Busy,
}

/// See the module.
pub struct Authenticator {
    options: Options,
    key: Zeroizing<[u8; 32]>,
    remembered: Cache<[u8; 32], Remembered>,
    /// By the same key as proofs.
    tickets: Cache<[u8; 32], (Ticket, Instant)>,
    failures: Cache<(String, IpAddr), Arc<Mutex<Bucket>>>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Working memory that no verification uses right now, kept for the next: 19 MiB taken and given back each time would
    /// leave the heap in pieces, and the process would grow by hundreds of MiB.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
    /// What an unknown user's password is checked against.
    dummy_hash: Arc<str>,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Remembered {
    stored_hash: Arc<str>,
    until: Instant,
}

/// Proofs and failure counts kept at most; the oldest go first.
const REMEMBERED_MAX: usize = 10_000;

impl Authenticator {
    /// Fails only if the machine has no randomness to give.
    pub fn new(options: Options, metrics: Arc<Metrics>) -> Result<Authenticator, String> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|e| e.to_string())?;
        Ok(Authenticator {
            key,
            remembered: Cache::new(REMEMBERED_MAX),
            tickets: Cache::new(REMEMBERED_MAX),
            failures: Cache::new(REMEMBERED_MAX),
            permits: Arc::new(Semaphore::new(options.verifications_max)),
            waiting: AtomicUsize::new(0),
            memory: Arc::default(),
            dummy_hash: hash_of_nothing()?.into(),
            options,
            metrics,
        })
    }

    /// The stored hash this claim was proved against a short while ago. It proves the claim only as long as the stored
    /// hash is still the same.
    pub fn remembered(&self, claim: &Claim, now: Instant) -> Option<Arc<str>> {
        let remembered = self.remembered.get(&self.digest(claim)).filter(|r| now < r.until)?;
        self.metrics.count_sign_in("remembered");
        Some(remembered.stored_hash)
    }

    /// Proves the claim against the stored hash; `None` for a user name that is unknown. Remembers success.
    pub async fn verify(&self, claim: &Claim, stored_hash: Option<Arc<str>>, now: Instant) -> Result<(), AuthError> {
        let outcome = self.verify_in_turn(claim, stored_hash, now).await;
        self.metrics.count_sign_in(match outcome {
            Ok(()) => "verified",
            Err(AuthError::Wrong) => "wrong",
            Err(AuthError::Throttled { .. }) => "throttled",
            Err(AuthError::Busy) => "busy",
        });
        outcome
    }

    async fn verify_in_turn(
        &self,
        claim: &Claim,
        stored_hash: Option<Arc<str>>,
        now: Instant,
    ) -> Result<(), AuthError> {
        if claim.password.0.len() > PASSWORD_BYTES_MAX {
            return Err(AuthError::Wrong);
        }
        let failures = self.failures_of(claim, now);
        check_throttle(&failures, &self.options, now)?;
        let digest = self.digest(claim);

        let _waiting = Waiting::enter(&self.waiting, self.options.waiting_max).ok_or(AuthError::Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| AuthError::Busy)?;
        // While this call waited, others with the same password may have proved it, or guesses may have used up the rest.
        if self.remembered.get(&digest).is_some_and(|r| now < r.until && Some(&r.stored_hash) == stored_hash.as_ref()) {
            return Ok(());
        }
        check_throttle(&failures, &self.options, now)?;

        let known = stored_hash.is_some();
        let hash = stored_hash.unwrap_or_else(|| Arc::clone(&self.dummy_hash));
        let password = Password(claim.password.0.clone());
        let checked = Arc::clone(&hash);
        let kept = Arc::clone(&self.memory);
        let work = move || {
            // Given back when the work is done, not when its caller hangs up: nothing stops a check that has begun.
            let _permit = permit;
            let mut memory = lock(&kept).pop().unwrap_or_default();
            let matches = matches(&password, &checked, &mut memory);
            lock(&kept).push(memory);
            matches
        };
        let matches = tokio::task::spawn_blocking(work).await.unwrap_or(false);
        if !(matches && known) {
            lock(&failures).take(now, &self.options);
            return Err(AuthError::Wrong);
        }
        if !self.options.remember.is_zero() {
            self.remembered.insert(digest, Remembered { stored_hash: hash, until: now + self.options.remember });
        }
        Ok(())
    }

    /// Forgets the claim's proof: its stored hash has changed.
    pub fn forget(&self, claim: &Claim) {
        self.remembered.remove(&self.digest(claim));
    }

    /// The ticket that this claim got a short while ago. The store says whether it is still valid.
    pub fn ticket(&self, claim: &Claim, now: Instant) -> Option<Ticket> {
        self.tickets.get(&self.digest(claim)).filter(|(_, until)| now < *until).map(|(ticket, _)| ticket)
    }

    /// Remembers the ticket of a claim that was proved, for as long as its proof would be.
    pub fn remember_ticket(&self, claim: &Claim, ticket: Ticket, now: Instant) {
        if !self.options.remember.is_zero() {
            self.tickets.insert(self.digest(claim), (ticket, now + self.options.remember));
        }
    }

    fn digest(&self, claim: &Claim) -> [u8; 32] {
        let user_name = claim.user_name.to_ascii_lowercase();
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("HMAC takes a key of any length");
        mac.update(&(user_name.len() as u64).to_le_bytes());
        mac.update(user_name.as_bytes());
        mac.update(claim.password.0.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn failures_of(&self, claim: &Claim, now: Instant) -> Arc<Mutex<Bucket>> {
        let mut user_name = claim.user_name.to_ascii_lowercase();
        user_name.truncate(user_name.floor_char_boundary(256));
        let key = (user_name, claim.peer);
        let full = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Bucket::full(&self.options, now))));
        self.failures.get_or_insert_with(&key, full).unwrap_or_else(|never| match never {})
    }
}

/// Guesses that are left, refilled as time passes.
struct Bucket {
    guesses: f64,
    as_of: Instant,
}

impl Bucket {
    fn full(options: &Options, now: Instant) -> Bucket {
        Bucket { guesses: f64::from(options.failures_max), as_of: now }
    }

    fn refill(&mut self, now: Instant, options: &Options) {
        let passed = now.saturating_duration_since(self.as_of).as_secs_f64();
        let interval = options.failure_interval.as_secs_f64().max(f64::MIN_POSITIVE);
        self.guesses = (self.guesses + passed / interval).min(f64::from(options.failures_max));
        self.as_of = self.as_of.max(now);
    }

    fn take(&mut self, now: Instant, options: &Options) {
        self.refill(now, options);
        self.guesses = (self.guesses - 1.0).max(0.0);
    }
}

fn check_throttle(bucket: &Mutex<Bucket>, options: &Options, now: Instant) -> Result<(), AuthError> {
    let mut bucket = lock(bucket);
    bucket.refill(now, options);
    if bucket.guesses >= 1.0 {
        return Ok(());
    }
    Err(AuthError::Throttled { wait: options.failure_interval.mul_f64(1.0 - bucket.guesses) })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One place in the queue, given back on drop.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, max: usize) -> Option<Waiting<'a>> {
        let entered = Waiting(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A new argon2id hash as a PHC string, with a random salt.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes"));
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params_of_new()?);
    Ok(argon2.hash_password(password.as_bytes()).map_err(|e| e.to_string())?.to_string())
}

fn params_of_new() -> Result<Params, String> {
    Params::new(MEMORY_KIB_MIN, PASSES_MIN, LANES, None).map_err(|e| e.to_string())
}

/// What looks like a new hash, and is of no password anybody knows. It is drawn, not computed: that would take 19 MiB and
/// give them back, after which the allocator would keep as much of what others give back.
fn hash_of_nothing() -> Result<String, String> {
    let (mut salt, mut output) = ([0; 16], [0; 32]);
    getrandom::fill(&mut salt).map_err(|e| e.to_string())?;
    getrandom::fill(&mut output).map_err(|e| e.to_string())?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params_of_new()?).map_err(|e| e.to_string())?,
        salt: Some(Salt::new(&salt).map_err(|e| e.to_string())?),
        hash: Some(Output::new(&output).map_err(|e| e.to_string())?),
    };
    Ok(hash.to_string())
}

/// Why a stored hash cannot be used to sign in.
pub fn check_hash(stored: &str) -> Result<(), String> {
    usable(stored).map(drop)
}

/// Reads a stored hash and holds its cost to the bounds, before any of it is spent.
fn usable(stored: &str) -> Result<(PasswordHash, Argon2<'static>), String> {
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
    Ok((hash, Argon2::new(Algorithm::Argon2id, Version::V0x13, params)))
}

fn matches(password: &Password, stored: &str, memory: &mut Vec<Block>) -> bool {
    let (hash, argon2) = match usable(stored) {
        Ok(usable) => usable,
        Err(reason) => {
            tracing::error!(reason, "a credential cannot sign in; give it a new hash (seatkeeper hash-password)");
            return false;
        }
    };
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else { return false };
    let blocks = argon2.params().block_count();
    memory.resize(blocks.max(memory.len()), Block::new());
    let mut output = vec![0; expected.len()];
    argon2.hash_password_into_with_memory(password.0.as_bytes(), &salt, &mut output, &mut memory[..blocks]).is_ok()
        // Compared in constant time.
        && Output::new(&output).is_ok_and(|output| output == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Options = Options {
        remember: Duration::from_secs(300),
        verifications_max: 1,
        waiting_max: 4,
        failures_max: 3,
        failure_interval: Duration::from_secs(6),
    };

    fn claim(user_name: &str, password: &str) -> Claim {
        let peer = IpAddr::from([127, 0, 0, 1]);
        Claim { user_name: user_name.to_owned(), password: Password::new(password.to_owned()), peer }
    }

    fn authenticator(options: Options) -> Authenticator {
        Authenticator::new(options, Arc::new(Metrics::new())).expect("randomness")
    }

    #[tokio::test]
    async fn a_proof_is_remembered_for_its_time_and_only_for_that_password() {
        let auth = authenticator(CHEAP);
        let stored: Arc<str> = hash_password("right").expect("hash").into();
        let now = Instant::now();
        assert!(auth.remembered(&claim("Bob", "right"), now).is_none());
        auth.verify(&claim("Bob", "right"), Some(Arc::clone(&stored)), now).await.expect("right");
        assert_eq!(auth.remembered(&claim("bOB", "right"), now), Some(stored), "in any case of the name");
        assert!(auth.remembered(&claim("Bob", "wrong"), now).is_none());
        assert!(auth.remembered(&claim("Bobr", "ight"), now).is_none());
        assert!(auth.remembered(&claim("Bob", "right"), now + CHEAP.remember).is_none(), "time is up");
        auth.forget(&claim("Bob", "right"));
        assert!(auth.remembered(&claim("Bob", "right"), now).is_none());
    }

    #[tokio::test]
    async fn guesses_are_slowed_and_the_owner_elsewhere_is_not() {
        let auth = authenticator(CHEAP);
        let stored: Arc<str> = hash_password("right").expect("hash").into();
        let now = Instant::now();
        for _ in 0..3 {
            let guess = auth.verify(&claim("bob", "guess"), Some(Arc::clone(&stored)), now).await;
            assert_eq!(guess, Err(AuthError::Wrong));
        }
        let throttled = auth.verify(&claim("bob", "right"), Some(Arc::clone(&stored)), now).await;
        assert_eq!(throttled, Err(AuthError::Throttled { wait: Duration::from_secs(6) }));
        let elsewhere = Claim { peer: IpAddr::from([127, 0, 0, 2]), ..claim("bob", "right") };
        auth.verify(&elsewhere, Some(Arc::clone(&stored)), now).await.expect("the owner, from another address");
        let later = now + Duration::from_secs(6);
        let wrong = auth.verify(&claim("bob", "guess"), Some(Arc::clone(&stored)), later).await;
        assert_eq!(wrong, Err(AuthError::Wrong), "one guess an interval");
        assert!(matches!(
            auth.verify(&claim("bob", "guess"), Some(stored), later).await,
            Err(AuthError::Throttled { .. })
        ));
    }

    #[tokio::test]
    async fn an_unknown_user_is_slowed_like_a_known_one() {
        let auth = authenticator(CHEAP);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(auth.verify(&claim("nobody", "x"), None, now).await, Err(AuthError::Wrong));
        }
        assert!(matches!(auth.verify(&claim("nobody", "x"), None, now).await, Err(AuthError::Throttled { .. })));
    }

    #[tokio::test]
    async fn what_does_not_fit_into_the_queue_is_refused_at_once() {
        let auth = authenticator(Options { waiting_max: 0, ..CHEAP });
        assert_eq!(auth.verify(&claim("bob", "x"), None, Instant::now()).await, Err(AuthError::Busy));
    }

    #[tokio::test]
    async fn other_names_do_not_wash_a_slowed_one_away() {
        let auth = authenticator(Options { waiting_max: 1, ..CHEAP });
        let now = Instant::now();
        for _ in 0..3 {
            auth.verify(&claim("bob", "guess"), None, now).await.expect_err("wrong");
        }
        // While one check runs, more claims than failures are kept for are refused for want of a place.
        let other = claim("slow", "x");
        let mut running = std::pin::pin!(auth.verify(&other, None, now));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut running).await.is_err());
        for n in 0..2 * REMEMBERED_MAX {
            assert_eq!(auth.verify(&claim(&n.to_string(), "x"), None, now).await, Err(AuthError::Busy));
        }
        running.await.expect_err("wrong");
        assert!(matches!(auth.verify(&claim("bob", "guess"), None, now).await, Err(AuthError::Throttled { .. })));
    }

    #[tokio::test]
    async fn a_check_whose_caller_hung_up_keeps_its_place() {
        let auth = authenticator(CHEAP);
        let slow: Arc<str> = hash_password("right").expect("hash").replace("t=2", "t=16").into();
        for guess in ["1", "2", "3"] {
            let guess = claim("bob", guess);
            let verify = auth.verify(&guess, Some(Arc::clone(&slow)), Instant::now());
            assert!(tokio::time::timeout(Duration::from_millis(1), verify).await.is_err(), "hung up");
        }
        assert_eq!(auth.permits.available_permits(), 0, "the first is still being checked, and the others never were");
    }

    #[test]
    fn a_hash_from_the_database_must_be_argon2id_of_a_bearable_cost() {
        let good = hash_password("x").expect("hash");
        check_hash(&good).expect("our own");
        check_hash(&hash_of_nothing().expect("randomness")).expect("an unknown user's costs what others cost");
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
            String::new(),
        ] {
            check_hash(&bad).expect_err(&bad);
        }
        assert!(hash_password("").is_err());
        assert!(hash_password(&"x".repeat(PASSWORD_BYTES_MAX + 1)).is_err());
    }
}
