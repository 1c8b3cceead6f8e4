//! Credentials: verifies passwords against stored argon2id hashes.
//!
//! * A verification costs about 25 ms and 19 MiB. It runs off the async threads, at most on half the cores at a time. Checks wait
//!   for their turn in a bounded room, in an order that is fair by client (`queue`, `room`); a check without a place is refused
//!   at once.
//! * An unknown user name costs the same work as a wrong password (`hash`).
//! * Agents sign in on every call, so a successful proof is remembered for a short time after its last use, under a hash of user
//!   name and password keyed with a random key of this process, together with the stored hash that it was proved against
//!   (`proved`). The user of a remembered proof must check that the stored hash is still the same; the store does, in the call's
//!   transaction.
//! * A caller that signs in for tickets with a remembered proof gets the same ticket again.
//! * Failures slow down further guesses of the same user name, from the same client and from all clients (`throttle`). Other
//!   clients do not slow down a client from which the name signed in before, and a password that was right before is not slowed
//!   down there at all.

mod hash;
mod proved;
mod queue;
mod room;
mod session;
mod throttle;
mod ticket;

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::Block;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prometheus_client::metrics::counter::Counter;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::metrics::{Metrics, SparseLog};
use crate::net::client_key;
use hash::{Costs, Expected};
pub use hash::{PASSWORD_CHARS_MIN, check_hash, hash_new_password, hash_password};
use proved::{Known, Proof, Proofs};
use queue::Line;
use room::Room;
pub use session::SessionToken;
pub use throttle::Scope;
use throttle::{Guess, Limit, Slowed, Throttle};
pub use ticket::{TICKET_LIFE, Ticket};

/// Longest password that is checked, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// How often the costs of stored hashes are looked up.
const COSTS_INTERVAL: Duration = Duration::from_secs(60);

/// Settings of sign-ins. See `seatkeeper serve --help`.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a proof is remembered after its last use; zero: not at all.
    pub remember: Duration,
    /// How long a proof is remembered at most, however often it is used. At least `remember`.
    pub remember_max: Duration,
    /// Concurrent verifications.
    pub verifications_max: usize,
    /// Verifications that may run or wait for their turn; further ones are refused.
    pub waiting_max: usize,
    /// Wrong passwords for one user name from one client before guesses are slowed down; from all clients several times as many.
    pub failures_max: u32,
    /// After that one guess is allowed each time this has passed.
    pub failure_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            remember: Duration::from_secs(300),
            remember_max: Duration::from_secs(3600),
            // Half the cores: the rest is for calls that are signed in already.
            verifications_max: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            // More than the connections of most addresses, so that a client is not refused because of others at its address. On
            // two cores the last check waits 10 s.
            waiting_max: 512,
            failures_max: 10,
            failure_interval: Duration::from_secs(6),
        }
    }
}

impl Options {
    fn limit(&self) -> Limit {
        Limit { failures_max: self.failures_max, interval: self.failure_interval }
    }
}

/// A password to check. It cannot be printed, and is wiped from memory when dropped.
pub struct Password(Zeroizing<String>);

impl Password {
    pub fn new(password: String) -> Password {
        Password(Zeroizing::new(password))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A user name, and a password that may prove it.
pub struct Claim {
    pub user_name: String,
    pub password: Password,
    /// The address of the client.
    pub peer: IpAddr,
}

/// Why a claim was not proved.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// User unknown or password wrong; callers do not learn which.
    #[error("user name or password not valid")]
    Wrong,
    #[error("too many wrong passwords; wait {} seconds", .wait.as_secs().max(1))]
    Throttled { wait: Duration, scope: Scope },
    #[error("too many sign-ins at once")]
    Busy,
}

impl From<Slowed> for AuthError {
    fn from(Slowed { wait, scope }: Slowed) -> AuthError {
        AuthError::Throttled { wait, scope }
    }
}

/// See the module.
pub struct Authenticator {
    /// Keyed with a random key, for remembered passwords.
    mac: Hmac<Sha256>,
    room: Arc<Room>,
    checks: Arc<Checks>,
    /// The hash that an unknown user's password is checked against.
    of_nothing: Expected,
    costs: Mutex<Costs>,
    costs_due: Mutex<Duration>,
    /// Sign-ins that were refused because no place was free.
    busy: Mutex<SparseLog>,
    /// Checks against a stored hash that cannot be read.
    unreadable: Mutex<SparseLog>,
    metrics: Arc<Metrics>,
    /// Times are counted from here.
    started: Instant,
}

/// The state that a check reads and changes. Shared with the thread that runs the check, because its outcome counts also if the
/// caller has disconnected.
struct Checks {
    proofs: Proofs,
    known: Known,
    throttle: Mutex<Throttle>,
    /// For keyed hashes of user names.
    keyed: RandomState,
    /// Working memory for the next verifications. Allocating and freeing 19 MiB each time would fragment the heap, and the
    /// process would grow by hundreds of MiB.
    memory: Mutex<Vec<Vec<Block>>>,
    work_bytes: Counter,
}

impl Authenticator {
    /// Fails only if the system has no randomness.
    pub fn new(options: Options, metrics: Arc<Metrics>) -> Result<Authenticator, String> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|e| e.to_string())?;
        Ok(Authenticator {
            mac: Hmac::new_from_slice(&*key).expect("HMAC takes a key of any length"),
            room: Arc::new(Room::new(options.verifications_max, options.waiting_max, &metrics)),
            checks: Arc::new(Checks {
                proofs: Proofs::new(options.remember, options.remember_max),
                known: Known::new(),
                throttle: Mutex::new(Throttle::new(options.limit())),
                keyed: RandomState::new(),
                memory: Mutex::default(),
                work_bytes: metrics.sign_in_work_bytes.clone(),
            }),
            of_nothing: Expected::of_nothing()?,
            costs: Mutex::default(),
            costs_due: Mutex::default(),
            busy: Mutex::default(),
            unreadable: Mutex::default(),
            metrics,
            started: Instant::now(),
        })
    }

    /// Changes the options while the service runs, except `verifications_max`.
    pub fn set_options(&self, options: &Options) {
        self.checks.proofs.set_lives(options.remember, options.remember_max);
        self.room.set_places(options.waiting_max);
        lock(&self.checks.throttle).set_limit(options.limit());
    }

    /// The stored hash that this claim was proved against, if that is remembered. It proves the claim only while the stored
    /// hash is the same.
    pub fn remembered(&self, claim: &Claim, now: Instant) -> Option<Arc<str>> {
        let proof = self.checks.recall(&self.digest(claim), client_key(claim.peer), self.since_start(now))?;
        self.metrics.count_sign_in("remembered");
        Some(Arc::clone(&proof.stored_hash))
    }

    /// Proves the claim against the stored hash; `None` for a user name that is unknown. Remembers success.
    pub async fn verify(&self, claim: &Claim, stored_hash: Option<Arc<str>>, now: Instant) -> Result<(), AuthError> {
        let outcome = self.verify_in_turn(claim, stored_hash, self.since_start(now)).await;
        self.metrics.count_sign_in(match outcome {
            Ok(()) => "verified",
            Err(AuthError::Wrong) => "wrong",
            Err(AuthError::Throttled { scope: Scope::Client, .. }) => "throttled",
            Err(AuthError::Throttled { scope: Scope::Name, .. }) => "throttled_name",
            Err(AuthError::Busy) => "busy",
        });
        if outcome == Err(AuthError::Busy)
            && let Some(before) = lock(&self.busy).count(now)
        {
            tracing::warn!(left_out = before, "more sign-ins arrive than passwords can be checked: some were refused");
        }
        outcome
    }

    async fn verify_in_turn(
        &self,
        claim: &Claim,
        stored_hash: Option<Arc<str>>,
        now: Duration,
    ) -> Result<(), AuthError> {
        // Such a password is wrong for every user name, so refusing it without work reveals nothing.
        if claim.password.0.len() > PASSWORD_BYTES_MAX {
            return Err(AuthError::Wrong);
        }
        let (checks, digest) = (&self.checks, self.digest(claim));
        let (name, client) = (checks.name(&claim.user_name), client_key(claim.peer));
        let known = checks.known.is_known(name, client, now);
        let guess = Guess { name, client, known };
        // A password that was right before is no guess, so guesses from its owner's address do not slow it down.
        let is_no_guess = || known && checks.proofs.was_proved(&digest, now);
        let check_throttle = || if is_no_guess() { Ok(()) } else { lock(&checks.throttle).check(guess, now) };
        check_throttle()?;

        let line = if known { Line::Known(name) } else { Line::Client(client) };
        let turn = self.room.turn(line).await.ok_or(AuthError::Busy)?;
        // While this call waited, another call may have proved the same password, or guesses may have used up the limit.
        let proof = checks.recall(&digest, client, now);
        if proof.is_some_and(|proof| Some(&proof.stored_hash) == stored_hash.as_ref()) {
            return Ok(());
        }
        check_throttle()?;

        let (expected, provable) = self.expected(&claim.user_name, stored_hash);
        let password = Password(claim.password.0.clone());
        let checks = Arc::clone(checks);
        let work = move || {
            // Released when the work is done, not when the caller disconnects: a check that has begun cannot be stopped.
            let _turn = turn;
            let matches = checks.matches(&expected, &password);
            match provable.filter(|_| matches) {
                Some(stored_hash) => {
                    checks.known.note(name, client, now);
                    checks.proofs.insert(digest, Proof::new(name, stored_hash, now));
                    true
                }
                None => {
                    // From now on the password counts as a guess.
                    checks.proofs.remove(&digest);
                    lock(&checks.throttle).failed(guess, now);
                    false
                }
            }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(AuthError::Wrong),
        }
    }

    /// The hash to check the password against, and the stored hash that a match proves.
    fn expected(&self, user_name: &str, stored_hash: Option<Arc<str>>) -> (Expected, Option<Arc<str>>) {
        match stored_hash.as_deref().map(Expected::read) {
            Some(Ok(expected)) => return (expected, stored_hash),
            Some(Err(reason)) => {
                if let Some(left_out) = lock(&self.unreadable).count(Instant::now()) {
                    tracing::error!(
                        credential = user_name,
                        error = reason,
                        left_out,
                        "a credential cannot sign in: give it a new hash (seatkeeper hash-password)"
                    );
                }
            }
            None => {}
        }
        let of_nothing = self.of_nothing.clone();
        let params = lock(&self.costs).of_unknown(user_name);
        (params.map_or(of_nothing.clone(), |params| of_nothing.with_params(params)), None)
    }

    /// Forgets the claim's proof: its stored hash has changed.
    pub fn forget(&self, claim: &Claim) {
        self.checks.proofs.remove(&self.digest(claim));
    }

    /// The latest ticket of this claim, while its proof is remembered. The store decides whether it is still valid.
    pub fn ticket(&self, claim: &Claim, now: Instant) -> Option<Ticket> {
        self.checks.recall(&self.digest(claim), client_key(claim.peer), self.since_start(now))?.ticket()
    }

    /// Remembers the ticket of a proved claim, as long as the proof.
    pub fn remember_ticket(&self, claim: &Claim, ticket: Ticket, now: Instant) {
        if let Some(proof) = self.checks.proofs.get(&self.digest(claim), self.since_start(now)) {
            proof.set_ticket(ticket);
        }
    }

    /// Whether it is time to look up the costs of stored hashes and call [`Authenticator::learn_costs`]. True for one caller each
    /// time.
    pub fn wants_costs(&self, now: Instant) -> bool {
        let now = self.since_start(now);
        let mut due = lock(&self.costs_due);
        let is_due = now >= *due;
        if is_due {
            *due = now.saturating_add(COSTS_INTERVAL);
        }
        is_due
    }

    /// Sets the cost of unknown users from these hashes: one hash of each set of parameters, with the number of credentials that
    /// have it.
    pub fn learn_costs(&self, hashes: &[(Arc<str>, u64)]) {
        let costs = Costs::new(hashes);
        *lock(&self.costs) = costs;
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    fn digest(&self, claim: &Claim) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(&(claim.user_name.len() as u64).to_le_bytes());
        in_lower_case(&claim.user_name, |bytes| mac.update(bytes));
        mac.update(claim.password.0.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl Checks {
    /// The proof of a password, if this client may use it. While guesses of a client are slowed down, it may not, unless the name
    /// signed in from there before: the one call that is answered at once would reveal the right password.
    fn recall(&self, digest: &[u8; 32], client: IpAddr, now: Duration) -> Option<Arc<Proof>> {
        let proof = self.proofs.get(digest, now)?;
        let name = proof.name;
        if !self.known.is_fresh(name, client, now) {
            if !self.known.is_known(name, client, now) {
                lock(&self.throttle).check(Guess { name, client, known: false }, now).ok()?;
            }
            self.known.note(name, client, now);
        }
        Some(proof)
    }

    fn matches(&self, expected: &Expected, password: &Password) -> bool {
        let mut memory = lock(&self.memory).pop().unwrap_or_default();
        let matches = expected.matches(password, &mut memory);
        self.work_bytes.inc_by(expected.work_bytes());
        lock(&self.memory).push(memory);
        matches
    }

    /// Keyed hash of a user name, in any case.
    fn name(&self, user_name: &str) -> u64 {
        self.keyed.hash_one(user_name.to_ascii_lowercase())
    }
}

/// Passes on the text in pieces, with ASCII letters in lower case, without a copy on the heap.
fn in_lower_case(text: &str, mut take: impl FnMut(&[u8])) {
    let mut piece = [0; 64];
    for bytes in text.as_bytes().chunks(piece.len()) {
        let piece = &mut piece[..bytes.len()];
        piece.copy_from_slice(bytes);
        piece.make_ascii_lowercase();
        take(piece);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
