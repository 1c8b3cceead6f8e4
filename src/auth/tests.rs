//! The properties that callers of the authenticator rely on.

use super::*;

const CHEAP: Options = Options {
    remember: Duration::from_secs(300),
    remember_max: Duration::from_secs(3600),
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
    assert_eq!(throttled, Err(AuthError::Throttled { wait: Duration::from_secs(6), scope: Scope::Client }));
    let elsewhere = Claim { peer: IpAddr::from([127, 0, 0, 2]), ..claim("bob", "right") };
    auth.verify(&elsewhere, Some(Arc::clone(&stored)), now).await.expect("the owner, from another address");
    let later = now + Duration::from_secs(6);
    let wrong = auth.verify(&claim("bob", "guess"), Some(Arc::clone(&stored)), later).await;
    assert_eq!(wrong, Err(AuthError::Wrong), "one guess an interval");
    assert!(matches!(auth.verify(&claim("bob", "guess"), Some(stored), later).await, Err(AuthError::Throttled { .. })));
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
    // While one check runs, more claims than the throttle can store are refused because no place is free.
    let running = auth.room.turn(Line::Client(claim("slow", "x").peer)).await;
    for n in 0..20_000 {
        assert_eq!(auth.verify(&claim(&n.to_string(), "x"), None, now).await, Err(AuthError::Busy));
    }
    drop(running);
    assert!(matches!(auth.verify(&claim("bob", "guess"), None, now).await, Err(AuthError::Throttled { .. })));
}

/// Begins a check, and hangs up before it ends.
async fn begin(verify: impl Future<Output = Result<(), AuthError>>) {
    let mut verify = std::pin::pin!(verify);
    let polled = std::future::poll_fn(|context| std::task::Poll::Ready(verify.as_mut().poll(context).is_pending()));
    assert!(polled.await, "hung up");
}

#[tokio::test]
async fn a_check_whose_caller_hung_up_keeps_its_place() {
    let auth = authenticator(CHEAP);
    let slow: Arc<str> = hash_password("right").expect("hash").replace("t=2", "t=16").into();
    for guess in ["1", "2", "3"] {
        let guess = claim("bob", guess);
        begin(auth.verify(&guess, Some(Arc::clone(&slow)), Instant::now())).await;
    }
    assert_eq!(auth.room.running(), 1, "the first is still being checked, and the others never were");
}

/// Waits until the running checks have ended, whether or not their callers are still connected.
async fn at_rest(auth: &Authenticator) {
    for _ in 0..10_000 {
        if auth.room.running() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("a check does not end");
}

fn from(peer: &str, user_name: &str, password: &str) -> Claim {
    Claim { peer: peer.parse().expect("address"), ..claim(user_name, password) }
}

#[tokio::test]
async fn a_guess_counts_though_its_caller_hung_up() {
    let auth = authenticator(Options { failures_max: 1, ..CHEAP });
    let stored: Arc<str> = hash_password("right").expect("hash").into();
    let now = Instant::now();
    let (wrong, right) = (claim("bob", "wrong"), claim("amy", "right"));
    for claim in [&wrong, &right] {
        begin(auth.verify(claim, Some(Arc::clone(&stored)), now)).await;
        at_rest(&auth).await;
    }
    let again = auth.verify(&wrong, Some(Arc::clone(&stored)), now).await;
    assert!(matches!(again, Err(AuthError::Throttled { .. })), "{again:?}");
    assert_eq!(auth.remembered(&right, now), Some(stored), "and so does the proof");
}

#[tokio::test]
async fn a_proof_in_use_lives_on_up_to_its_bound() {
    let auth = authenticator(CHEAP);
    let stored: Arc<str> = hash_password("right").expect("hash").into();
    let (bob, begun) = (claim("bob", "right"), Instant::now());
    auth.verify(&bob, Some(Arc::clone(&stored)), begun).await.expect("right");
    auth.remember_ticket(&bob, Ticket::generate().expect("randomness"), begun);
    for minutes in (4..60).step_by(4) {
        let now = begun + Duration::from_secs(60 * minutes);
        assert!(auth.remembered(&bob, now).is_some() && auth.ticket(&bob, now).is_some(), "after {minutes} minutes");
    }
    let end = begun + CHEAP.remember_max;
    assert!(auth.remembered(&bob, end).is_none() && auth.ticket(&bob, end).is_none());
}

/// Otherwise the answers to slowed-down guesses would reveal the right password, as fast as guesses can be sent.
#[tokio::test]
async fn slowed_guesses_do_not_find_a_remembered_password() {
    let auth = authenticator(CHEAP);
    let stored: Arc<str> = hash_password("right").expect("hash").into();
    let now = Instant::now();
    let verify = |claim: Claim| {
        let (auth, stored) = (&auth, Arc::clone(&stored));
        async move { auth.verify(&claim, Some(stored), now).await }
    };
    verify(from("192.0.2.1", "bob", "right")).await.expect("right");
    for _ in 0..3 {
        assert_eq!(verify(from("192.0.2.66", "bob", "guess")).await, Err(AuthError::Wrong));
    }
    let right = || from("192.0.2.66", "bob", "right");
    assert!(auth.remembered(&right(), now).is_none() && auth.ticket(&right(), now).is_none());
    let (slowed, guess) = (verify(right()).await, verify(from("192.0.2.66", "bob", "guess")).await);
    assert!(matches!(slowed, Err(AuthError::Throttled { .. })), "{slowed:?}");
    assert_eq!(slowed, guess, "the right one and a wrong one look alike");
    // Addresses where the name signed in before are not affected, and neither are others without guesses.
    for peer in ["192.0.2.1", "192.0.2.7"] {
        assert!(auth.remembered(&from(peer, "bob", "right"), now).is_some(), "{peer}");
    }
    let later = now + Duration::from_secs(6);
    assert!(auth.remembered(&right(), later).is_some(), "a guess came back, and it was right");
}

#[tokio::test]
async fn an_ipv6_network_is_one_client() {
    let auth = authenticator(CHEAP);
    let now = Instant::now();
    let mut outcomes = Vec::new();
    for peer in ["2001:db8::1", "2001:db8::2", "2001:db8::3:4:5:6", "2001:db8::7", "2001:db8:0:1::1"] {
        outcomes.push(auth.verify(&from(peer, "bob", "guess"), None, now).await == Err(AuthError::Wrong));
    }
    assert_eq!(outcomes, [true, true, true, false, true]);
}

#[tokio::test]
async fn guesses_from_many_clients_are_slowed_and_the_owner_is_not() {
    let auth = authenticator(CHEAP);
    let stored: Arc<str> = hash_password("right").expect("hash").into();
    let now = Instant::now();
    for (user_name, stored) in [("bob", Some(&stored)), ("nobody", None)] {
        let verify = async |claim: Claim| auth.verify(&claim, stored.cloned(), now).await;
        let (mut wrong, mut scopes) = (0, Vec::new());
        if stored.is_some() {
            verify(from("192.0.2.1", user_name, "right")).await.expect("right");
        }
        for guess in 0..12 {
            for client in 10..20 {
                match verify(from(&format!("192.0.2.{client}"), user_name, &format!("guess {guess}"))).await {
                    Err(AuthError::Throttled { scope, .. }) => scopes.push(scope),
                    outcome => {
                        assert_eq!(outcome, Err(AuthError::Wrong));
                        wrong += 1;
                    }
                }
            }
        }
        // The first of each client, and 15 more; 30 are what the limits of ten clients would let through.
        assert_eq!(wrong, 25, "{user_name}");
        assert!(scopes.contains(&Scope::Name), "{user_name}");
    }
    let right = async |peer: &str, password: &str| {
        auth.verify(&from(peer, "bob", password), Some(Arc::clone(&stored)), now).await
    };
    assert_eq!(right("192.0.2.1", "mistyped").await, Err(AuthError::Wrong), "checked, where the name is known");
    assert_eq!(right("192.0.2.1", "right").await, Ok(()));
    auth.forget(&claim("bob", "right"));
    assert_eq!(right("192.0.2.99", "right").await, Ok(()), "a client that did not guess before");
}

/// Measured by the work of a check, not by its time.
#[tokio::test]
async fn no_answer_costs_less_because_there_is_no_such_user() {
    let cheap: Arc<str> = hash_password("right").expect("hash").into();
    let dear: Arc<str> = cheap.replace("m=19456,t=2", "m=65536,t=3").into();
    let unusable: Arc<str> = cheap.replace("t=2", "t=1").into();
    let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
    let (new, most) = (2 * 19_456, 3 * 65_536);
    let (only_cheap, only_dear) =
        (vec![(Arc::clone(&cheap), 5)], vec![(Arc::clone(&dear), 1), (Arc::clone(&unusable), 9)]);
    for (case, kinds, stored, password, kib) in [
        ("known", &only_cheap, Some(&cheap), "wrong", new),
        ("unknown", &only_cheap, None, "wrong", new),
        ("unusable", &only_cheap, Some(&unusable), "wrong", new),
        ("known, dear", &only_dear, Some(&dear), "wrong", most),
        ("unknown, dear", &only_dear, None, "wrong", most),
        ("unusable, dear", &only_dear, Some(&unusable), "wrong", most),
        ("known, empty", &only_cheap, Some(&cheap), "", new),
        ("unknown, empty", &only_cheap, None, "", new),
        ("known, long", &only_cheap, Some(&cheap), &long, 0),
        ("unknown, long", &only_cheap, None, &long, 0),
    ] {
        let auth = authenticator(CHEAP);
        auth.learn_costs(kinds);
        assert_eq!(auth.verify(&claim("bob", password), stored.cloned(), Instant::now()).await, Err(AuthError::Wrong));
        assert_eq!(auth.metrics.sign_in_work_bytes.get(), 1024 * kib, "{case}");
    }
}

#[test]
fn costs_are_looked_up_by_one_call_a_minute() {
    let auth = authenticator(CHEAP);
    let now = Instant::now();
    let wanted = [0, 0, 59, 60, 60, 61, 120].map(|seconds| auth.wants_costs(now + Duration::from_secs(seconds)));
    assert_eq!(wanted, [true, false, false, true, false, false, true]);
}

#[tokio::test]
async fn strangers_do_not_keep_out_a_user_that_proved_itself() {
    let auth = Arc::new(authenticator(Options { remember: Duration::ZERO, waiting_max: 8, ..CHEAP }));
    let stored: Arc<str> = hash_password("right").expect("hash").into();
    let now = Instant::now();
    let sign_in = async |user_name: &str| auth.verify(&claim(user_name, "right"), Some(Arc::clone(&stored)), now).await;
    sign_in("bob").await.expect("right");
    // One is checked, the others wait; all are from the address of the user.
    let flood: Vec<_> = (0..20)
        .map(|n| {
            let auth = Arc::clone(&auth);
            tokio::spawn(async move { auth.verify(&claim(&format!("stranger {n}"), "guess"), None, now).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(sign_in("amy").await, Err(AuthError::Busy), "a user that did not prove itself before");
    assert_eq!(sign_in("bob").await, Ok(()));
    // From another address any user gets a place.
    let elsewhere = from("192.0.2.1", "amy", "right");
    assert_eq!(auth.verify(&elsewhere, Some(Arc::clone(&stored)), now).await, Ok(()));
    let mut refused = 0;
    for verify in flood {
        refused += usize::from(verify.await.expect("it ends") == Err(AuthError::Busy));
    }
    assert_eq!(refused, 20 - 6, "a quarter of the places stays free");
}

/// Clients behind one address, or behind a proxy that is not named as trusted, count as one client.
#[tokio::test]
async fn guesses_at_the_address_of_an_owner_do_not_lock_it_out_when_its_proof_ends() {
    let auth = authenticator(CHEAP);
    let [old, new] = ["right", "changed"].map(|password| Arc::<str>::from(hash_password(password).expect("hash")));
    let begun = Instant::now();
    let verify = async |password: &str, stored: &Arc<str>, now| {
        auth.verify(&claim("bob", password), Some(Arc::clone(stored)), now).await
    };
    verify("right", &old, begun).await.expect("right");
    let ended = begun + 2 * CHEAP.remember_max;
    for _ in 0..3 {
        assert_eq!(verify("guess", &old, ended).await, Err(AuthError::Wrong));
    }
    assert!(matches!(verify("guess", &old, ended).await, Err(AuthError::Throttled { .. })));
    assert!(auth.remembered(&claim("bob", "right"), ended).is_none());
    assert_eq!(verify("right", &old, ended).await, Ok(()));
    // After a change of the password the old one is checked once, and then counts as a guess.
    assert_eq!(verify("right", &new, ended).await, Err(AuthError::Wrong));
    assert!(matches!(verify("right", &new, ended).await, Err(AuthError::Throttled { .. })));
}

/// Part of a fleet still sends the old password after it was changed.
#[tokio::test]
async fn clients_with_the_old_password_do_not_lock_out_those_with_the_new_one() {
    let auth = authenticator(CHEAP);
    let [old, new] = ["old", "new"].map(|password| Arc::<str>::from(hash_password(password).expect("hash")));
    let now = Instant::now();
    let verify = async |client: u8, password: &str, stored: &Arc<str>| {
        auth.verify(&from(&format!("192.0.2.{client}"), "bob", password), Some(Arc::clone(stored)), now).await
    };
    for client in 0..12 {
        verify(client, "old", &old).await.expect("right");
    }
    for _ in 0..4 {
        for client in 0..11 {
            verify(client, "old", &new).await.expect_err("wrong by now");
        }
    }
    assert_eq!(verify(11, "new", &new).await, Ok(()), "a client of the fleet");
    assert_eq!(verify(99, "new", &new).await, Ok(()), "one that joins it");
    assert!(matches!(verify(1, "old", &new).await, Err(AuthError::Throttled { scope: Scope::Client, .. })));
    assert_eq!(verify(1, "new", &new).await, Ok(()), "once another has proved it, though it was slowed down");
}
