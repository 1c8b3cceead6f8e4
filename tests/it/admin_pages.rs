//! The pages for administrators at the wire: signing in, what keeps other sites and other administrators out, changes with preview and
//! undo, and hostile data on every page and in every file.

use std::fmt::Write as _;

use seatkeeper::auth;

use crate::harness::*;

/// A browser without a screen: it keeps the cookie, and sends the token of the forms that it was shown.
struct Visitor<'s> {
    server: &'s Server,
    cookie: String,
    token: String,
    language: &'static str,
}

impl<'s> Visitor<'s> {
    fn stranger(server: &'s Server) -> Visitor<'s> {
        Visitor { server, cookie: String::new(), token: String::new(), language: "en" }
    }

    fn signed_in(server: &'s Server, user: &str) -> Visitor<'s> {
        let mut visitor = Visitor::stranger(server);
        let answer = visitor.post("/sign-in", &[("user", user), ("password", PASSWORD)]);
        assert_eq!(answer.status, 303, "{answer:?}");
        visitor.cookie = cookie(&answer).expect("a cookie");
        visitor.token = between(&visitor.get("/help/keys").body, "name=\"token\" value=\"", "\"").expect("a token");
        visitor
    }

    fn request(&self, method: &str, target: &str, more: &str, body: &str) -> Answer {
        let cookie = if self.cookie.is_empty() { String::new() } else { format!("Cookie: {}\r\n", self.cookie) };
        let (host, language) = (self.server.address, self.language);
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept-Language: {language}\r\n{cookie}{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.server.send(request.as_bytes())
    }

    fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "", "")
    }

    fn post(&self, target: &str, pairs: &[(&str, &str)]) -> Answer {
        self.post_with(target, "", pairs)
    }

    fn post_with(&self, target: &str, more: &str, pairs: &[(&str, &str)]) -> Answer {
        let own = [("token", self.token.as_str())];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(own.iter().chain(pairs)).finish();
        self.request("POST", target, &format!("Content-Type: application/x-www-form-urlencoded\r\n{more}"), &body)
    }

    /// Sends a change, looks at its preview and confirms it; the answer to the confirmation.
    fn change(&self, target: &str, pairs: &[(&str, &str)]) -> Answer {
        let preview = self.preview(target, pairs);
        assert_eq!(preview.status, 200, "{}", preview.body);
        self.confirm(target, pairs, &preview)
    }

    fn preview(&self, target: &str, pairs: &[(&str, &str)]) -> Answer {
        self.post(target, &[pairs, &[("step", "preview")]].concat())
    }

    fn confirm(&self, target: &str, pairs: &[(&str, &str)], preview: &Answer) -> Answer {
        let digest = between(&preview.body, "name=\"digest\" value=\"", "\"").unwrap_or_default();
        self.post(target, &[pairs, &[("step", "confirm"), ("reason", "a test"), ("digest", &digest)]].concat())
    }
}

/// Name and value of the cookie that an answer sets.
fn cookie(answer: &Answer) -> Option<String> {
    let value = answer.header("set-cookie")?;
    Some(value.split(';').next().unwrap_or(value).to_owned())
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found.to_owned())
}

/// Every page that is only looked at, of [`data`].
pub const PAGES: &[&str] = &[
    "/",
    "/entities",
    "/entities?all=1",
    "/entities/42",
    "/pools",
    "/pools/1",
    "/users",
    "/users/101",
    "/credentials",
    "/credential?name=agent",
    "/offers",
    "/refusals",
    "/history",
    "/history/as-of?pool=1&at=2026-01-01",
    "/search?q=con",
    "/explain",
    "/explain?user=anna&entity=42&type=SqlBackup",
    "/report/42",
    "/help/keys",
];

/// Every page with a form that changes something.
pub const FORMS: &[&str] = &[
    "/new/entity",
    "/new/pool",
    "/new/user",
    "/new/credential",
    "/new/offer",
    "/entities/42/edit",
    "/entities/42/delete",
    "/pools/1/edit",
    "/pools/1/resize",
    "/pools/1/delete",
    "/users/101/edit",
    "/users/101/assign",
    "/users/101/transfer",
    "/users/101/leave",
    "/users/101/release",
    "/assign",
    "/credential/edit?name=agent",
    "/credential/rotate?name=agent",
    "/credential/delete?name=agent",
    "/offers/42",
    "/import",
];

/// Lists that can be had as files.
const LISTS: &[&str] =
    &["/entities", "/pools", "/users", "/credentials", "/offers", "/refusals", "/history", "/pools/1", "/report/42"];

/// The sample data, and: users 101 `anna` and 102 `bert` of 42, who hold seats 1 and 2 of pool 1; 103 `fay` of 43; `boss`, an administrator
/// of 42.
pub fn data() -> String {
    let hash = &*PASSWORD_HASH;
    sample_data()
        + &format!(
            "INSERT INTO account (id, username, entity_id) VALUES (101, 'anna', 42), (102, 'bert', 42), (103, 'fay', 43);
             INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('boss', '{hash}', 42, 'admin');
             UPDATE seat SET account_id = 101 WHERE pool_id = 1 AND seat_no = 1;
             UPDATE seat SET account_id = 102 WHERE pool_id = 1 AND seat_no = 2;"
        )
}

fn server() -> Server {
    Server::with(Options { seed: data(), ..Options::default() })
}

#[test]
fn without_a_session_every_page_leads_to_the_sign_in_and_back() {
    let server = server();
    let stranger = Visitor::stranger(&server);
    for page in PAGES.iter().chain(FORMS).chain(&["/pools.csv", "/history.json"]) {
        let answer = stranger.get(page);
        let location = answer.header("location").unwrap_or_default();
        assert_eq!(answer.status, 303, "{page}: {answer:?}");
        assert!(location.contains("sign-in") && !location.contains("://"), "{page}: {location}");
    }
    // From a page below the sign-in is one level up; and from there the browser goes on.
    let answer = stranger.get("/pools/1?text=a%20b");
    assert_eq!(answer.header("location"), Some("../sign-in?to=pools%2F1%3Ftext%3Da%2520b"));
    let sign_in = "/sign-in?to=pools%2F1%3Ftext%3Da%2520b";
    assert!(stranger.get(sign_in).body.contains("action=\"./sign-in?to=pools%2F1%3Ftext%3Da%2520b\""));
    let answer = stranger.post(sign_in, &[("user", "admin"), ("password", PASSWORD)]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("./pools/1?text=a%20b")));
    // Nowhere else.
    for to in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%5C%5Cevil.example", "a%0D%0ASet-Cookie%3A%20x"] {
        let answer = stranger.post(&format!("/sign-in?to={to}"), &[("user", "admin"), ("password", PASSWORD)]);
        let location = answer.header("location").unwrap_or_default();
        assert!(answer.status == 303 && location.starts_with("./"), "{location}");
    }
}

#[test]
fn the_cookie_is_for_this_service_alone() {
    let server = Server::with(Options { seed: data(), trusted_proxies: "127.0.0.1", ..Options::default() });
    let visitor = Visitor::stranger(&server);
    let pairs = [("user", "admin"), ("password", PASSWORD)];
    let plain = visitor.post("/sign-in", &pairs);
    let value = plain.header("set-cookie").expect("a cookie");
    assert!(
        value.starts_with("seatkeeper_session=") && value.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{value}"
    );
    let behind_tls = visitor.post_with("/sign-in", "X-Forwarded-Proto: https\r\n", &pairs);
    let value = behind_tls.header("set-cookie").expect("a cookie");
    assert!(value.starts_with("__Host-seatkeeper_session=") && value.ends_with("; SameSite=Strict; Secure"), "{value}");
    // Behind TLS the plain name does not count: another host of the domain may have set it.
    let planted = Visitor { cookie: cookie(&plain).expect("a cookie"), ..Visitor::stranger(&server) };
    assert_eq!(planted.request("GET", "/", "X-Forwarded-Proto: https\r\n", "").status, 303);
    assert_eq!(planted.get("/").status, 200);
}

#[test]
fn every_response_may_not_be_framed_kept_or_run_in() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    let stranger = Visitor::stranger(&server);
    let mut answers = vec![("sign-in", stranger.get("/sign-in")), ("to sign-in", stranger.get("/"))];
    answers.extend(PAGES.iter().chain(FORMS).map(|page| (*page, admin.get(page))));
    answers.extend([
        ("file", admin.get("/pools.csv")),
        ("no such entity", admin.get("/entities/77")),
        ("no page", admin.get("/history/x")),
    ]);
    answers.push((
        "refused",
        admin.request("POST", "/new/user", "Content-Type: application/x-www-form-urlencoded\r\n", ""),
    ));
    for (page, answer) in answers {
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
            "script-src 'self'",
        ] {
            assert!(policy.contains(part), "{page}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{page}: {policy}");
        assert_eq!(header("x-frame-options"), "DENY", "{page}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{page}");
        assert_eq!(header("cache-control"), "no-store", "{page}");
        assert_eq!(header("referrer-policy"), "same-origin", "{page}");
        assert!(!answer.body.contains(" style=") && !answer.body.contains("<style"), "{page}: style inside");
        for handler in [" onclick=", " onload=", "javascript:"] {
            assert!(!answer.body.contains(handler), "{page}");
        }
    }
}

#[test]
fn forms_of_other_sites_and_other_sessions_change_nothing() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    let other = Visitor::signed_in(&server, "boss");
    let pairs = [("username", "mallory"), ("entity_id", "42")];
    let preview = admin.preview("/new/user", &pairs);
    let digest = between(&preview.body, "name=\"digest\" value=\"", "\"").expect("a digest");
    let confirm = [&pairs[..], &[("step", "confirm"), ("reason", "x"), ("digest", &digest)]].concat();
    let without = Visitor { token: String::new(), cookie: admin.cookie.clone(), ..Visitor::stranger(&server) };
    let stolen = Visitor { token: other.token.clone(), cookie: admin.cookie.clone(), ..Visitor::stranger(&server) };
    let no_cookie = Visitor { token: admin.token.clone(), ..Visitor::stranger(&server) };
    for (case, answer, status) in [
        ("no token", without.post("/new/user", &confirm), 403),
        ("the token of another session", stolen.post("/new/user", &confirm), 403),
        ("no cookie", no_cookie.post("/new/user", &confirm), 303),
        ("another origin", admin.post_with("/new/user", "Origin: http://evil.example\r\n", &confirm), 403),
        ("a sandboxed frame", admin.post_with("/new/user", "Origin: null\r\n", &confirm), 403),
        ("another site", admin.post_with("/new/user", "Sec-Fetch-Site: cross-site\r\n", &confirm), 403),
        ("a sister site", admin.post_with("/new/user", "Sec-Fetch-Site: same-site\r\n", &confirm), 403),
        ("signing out", admin.post_with("/sign-out", "Origin: http://evil.example\r\n", &[]), 403),
        (
            "signing in",
            admin.post_with("/sign-in", "Origin: http://evil.example\r\n", &[("user", "x"), ("password", "y")]),
            403,
        ),
        (
            "a GET",
            admin.get(&format!("/new/user?username=mallory&entity_id=42&step=confirm&reason=x&digest={digest}")),
            200,
        ),
    ] {
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        assert_eq!(server.query::<i64>("SELECT count(*) FROM account WHERE username = 'mallory'"), 0, "{case}");
    }
    let own = format!("Origin: http://{}\r\n", server.address);
    assert_eq!(admin.post_with("/new/user", &own, &confirm).status, 303);
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account WHERE username = 'mallory'"), 1);
}

#[test]
fn a_planted_session_becomes_no_signed_in_one() {
    let server = server();
    let known = Visitor::signed_in(&server, "contoso");
    let planted = Visitor { cookie: known.cookie.clone(), ..Visitor::stranger(&server) };
    let answer = planted.post("/sign-in", &[("user", "admin"), ("password", PASSWORD)]);
    let new = cookie(&answer).expect("a cookie");
    assert_ne!(new, known.cookie);
    // The session that the attacker knows is still that of its own credential.
    assert!(known.get("/").body.contains("contoso"));
    let made_up = format!("seatkeeper_session={}.{}", "0".repeat(32), "0".repeat(64));
    for cookie in [made_up, "seatkeeper_session=x".to_owned(), known.cookie[..known.cookie.len() - 1].to_owned() + "g"]
    {
        let guesser = Visitor { cookie, ..Visitor::stranger(&server) };
        assert_eq!(guesser.get("/").status, 303);
    }
}

#[test]
fn passwords_are_not_guessed_here_either() {
    // By default another guess is allowed every 6 s, which a loaded machine may need for this.
    let auth = auth::Options { failure_interval: std::time::Duration::from_secs(600), ..auth::Options::default() };
    let server = Server::with(Options { seed: data(), auth, ..Options::default() });
    let stranger = Visitor::stranger(&server);
    let guess =
        |n: usize| stranger.post("/sign-in", &[("user", "admin"), ("password", &format!("wrong password {n}"))]);
    let answers: Vec<Answer> = (0..12).map(guess).collect();
    assert!(answers[0].body.contains("User name or password is wrong"), "{}", answers[0].body);
    assert_eq!(answers[0].status, 403);
    let last = &answers[11];
    assert_eq!(last.status, 429, "{last:?}");
    assert!(last.body.contains("Too many wrong passwords"), "{}", last.body);
    // Also with the right one; and unknown names are told nothing else.
    assert_eq!(stranger.post("/sign-in", &[("user", "admin"), ("password", PASSWORD)]).status, 429);
    let unknown = stranger.post("/sign-in", &[("user", "nobody"), ("password", "wrong password 0")]);
    assert_eq!((unknown.status, unknown.body.contains("User name or password is wrong")), (403, true));
    let gone = stranger.post("/sign-in", &[("user", "gone"), ("password", PASSWORD)]);
    assert_eq!(gone.status, 403, "an inactive credential");
}

#[test]
fn signing_out_ends_the_session_and_everywhere_ends_all() {
    let server = server();
    let (one, two, three) = (
        Visitor::signed_in(&server, "admin"),
        Visitor::signed_in(&server, "admin"),
        Visitor::signed_in(&server, "admin"),
    );
    let answer = one.post("/sign-out", &[]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("./sign-in?out=1")));
    assert!(answer.header("set-cookie").is_some_and(|value| value.contains("Max-Age=0")));
    assert_eq!((one.get("/").status, two.get("/").status), (303, 200));
    assert_eq!(two.post("/sign-out-everywhere", &[]).status, 303);
    assert_eq!((two.get("/").status, three.get("/").status), (303, 303));
    // A session also ends with its credential.
    let four = Visitor::signed_in(&server, "admin");
    server.sql("UPDATE credential SET active = 0 WHERE user_name = 'admin'");
    let answer = four.get("/pools");
    assert!(answer.status == 303 && answer.header("location").is_some_and(|to| to.contains("ended=1")), "{answer:?}");
}

#[test]
fn readers_and_agents_look_and_change_nothing() {
    let server = server();
    for user in ["reader", "agent"] {
        let visitor = Visitor::signed_in(&server, user);
        for page in PAGES {
            let answer = visitor.get(page);
            assert_eq!(answer.status, 200, "{user} {page}: {}", answer.body);
            let main = between(&answer.body, "<main", "</main>").expect("a main element");
            assert!(!main.contains("value=\"preview\"") && !main.contains("/edit"), "{user} {page} has a button");
        }
        for form in FORMS.iter().filter(|form| **form != "/new/offer") {
            assert_eq!(visitor.get(form).status, 403, "{user} {form}");
        }
        for form in FORMS.iter().filter(|form| **form != "/new/offer").chain(&[
            "/release",
            "/leave",
            "/credential/end?name=agent",
            "/pools/1/release",
        ]) {
            let answer = visitor.post(
                form,
                &[("step", "confirm"), ("reason", "x"), ("seat", "1.1.101"), ("username", "m"), ("entity_id", "42")],
            );
            assert!(answer.status == 403 && answer.body.contains("role admin"), "{user} {form}: {answer:?}");
        }
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM audit_event WHERE reason IS NOT NULL"), 0);
}

#[test]
fn an_administrator_of_a_subtree_does_not_leave_it() {
    let server = server();
    let boss = Visitor::signed_in(&server, "boss");
    for page in [
        "/entities/1",
        "/entities/43",
        "/entities/9",
        "/pools/2",
        "/users/103",
        "/credential?name=admin",
        "/report/43",
        "/entities/1/edit",
        "/pools/2/resize",
        "/pools/2.csv",
        "/users/103/leave",
        "/credential/rotate?name=agent",
        "/offers/43",
        "/history/as-of?pool=2&at=2026-01-01",
    ] {
        assert_eq!(boss.get(page).status, 404, "{page}");
    }
    for list in LISTS {
        for end in [".csv", ".json"] {
            let answer = boss.get(&format!("{list}{end}"));
            assert_eq!(answer.status, 200, "{list}");
            for secret in ["Northwind", "Fabrikam", "Somebody else", "fay"] {
                assert!(!answer.body.contains(secret), "{list}{end} has {secret}");
            }
        }
    }
    for (target, pairs) in [
        ("/new/user", vec![("username", "x"), ("entity_id", "43")]),
        ("/new/entity", vec![("name", "x"), ("parent_id", "1")]),
        ("/new/entity", vec![("name", "x")]),
        ("/new/pool", vec![("entity_id", "43"), ("license_type", "SqlBackup"), ("seats_total", "5")]),
        ("/new/credential", vec![("user_name", "x"), ("entity_id", "1"), ("role", "admin")]),
        ("/entities/42/edit", vec![("name", "Contoso"), ("parent_id", "9"), ("active", "1")]),
        ("/users/101/edit", vec![("username", "anna"), ("entity_id", "43"), ("active", "1")]),
        (
            "/credential/edit?name=boss",
            vec![("user_name", "boss"), ("entity_id", "1"), ("role", "admin"), ("active", "1")],
        ),
        ("/pools/2/resize", vec![("seats_total", "9")]),
        ("/users/103/leave", vec![("deactivate", "1")]),
        ("/release", vec![("seat", "2.1.103")]),
        ("/leave", vec![("user", "103"), ("deactivate", "1")]),
        ("/users/101/transfer", vec![("to", "fay")]),
        ("/assign", vec![("user", "anna"), ("entity", "43"), ("type", "ExchangeBackup")]),
    ] {
        let answer = boss.preview(target, &pairs);
        assert!((400..500).contains(&answer.status), "{target} {pairs:?}: {}", answer.body);
        assert!(!answer.body.contains("name=\"digest\""), "{target}");
    }
    // Its own credential it cannot lock out, and what it may it can.
    assert_eq!(boss.preview("/credential/delete?name=boss", &[]).status, 403);
    assert_eq!(boss.change("/new/user", &[("username", "new"), ("entity_id", "420")]).status, 303);
}

#[test]
fn a_change_is_previewed_confirmed_recorded_and_undone() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    let name = || server.query::<String>("SELECT name FROM entity WHERE id = 42");
    let pairs = [("was-name", "Contoso"), ("name", "Contoso GmbH"), ("parent_id", "1"), ("active", "1")];
    let preview = admin.preview("/entities/42/edit", &pairs);
    assert!(
        preview.body.contains("<del><bdi>Contoso</bdi></del> → <ins><bdi>Contoso GmbH</bdi></ins>"),
        "{}",
        preview.body
    );
    assert_eq!(name(), "Contoso", "a preview changes nothing");
    // Without a reason it is asked for again.
    let digest = between(&preview.body, "name=\"digest\" value=\"", "\"").expect("a digest");
    let confirm = [&pairs[..], &[("step", "confirm"), ("digest", &digest)]].concat();
    let asked = admin.post("/entities/42/edit", &confirm);
    assert!(asked.status == 422 && asked.body.contains("aria-invalid=\"true\""), "{}", asked.body);
    // Without a digest it is previewed.
    let unseen = admin.post("/entities/42/edit", &[&pairs[..], &[("step", "confirm"), ("reason", "x")]].concat());
    assert_eq!((unseen.status, name().as_str()), (200, "Contoso"));

    let done = admin.confirm("/entities/42/edit", &pairs, &preview);
    let receipt = done.header("location").expect("a receipt").replace("../../", "/");
    assert!(done.status == 303 && receipt.starts_with("/history/"), "{done:?}");
    assert_eq!(name(), "Contoso GmbH");
    let page = admin.get(&receipt);
    for part in ["a test", "admin", "Contoso GmbH", receipt.trim_start_matches("/history/"), "/undo"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    let undone = admin.change(&format!("{receipt}/undo"), &[]);
    assert_eq!((undone.status, name().as_str()), (303, "Contoso"));
    let id = receipt.trim_start_matches("/history/");
    let reason = server.query::<String>("SELECT reason FROM audit_event ORDER BY id DESC LIMIT 1");
    assert_eq!(reason, format!("undo of {id}: a test"));
    // The world has moved on.
    let again = admin.preview(&format!("{receipt}/undo"), &[]);
    assert!(again.status == 409 && again.body.contains("cannot be undone"), "{}", again.body);
}

#[test]
fn two_administrators_do_not_overwrite_each_other_silently() {
    let server = server();
    let (one, two) = (Visitor::signed_in(&server, "admin"), Visitor::signed_in(&server, "boss"));
    let seats = [("before", "3"), ("seats_total", "10")];
    let preview = one.preview("/pools/1/resize", &seats);
    assert_eq!(two.change("/pools/1/resize", &[("before", "3"), ("seats_total", "5")]).status, 303);
    let late = one.confirm("/pools/1/resize", &seats, &preview);
    assert!(late.status == 409, "{late:?}");
    assert_eq!(server.query::<i64>("SELECT seats_total FROM license_pool WHERE id = 1"), 5);
    // Between the form and the preview, too.
    let pairs = [("was-note", ""), ("note", "mine"), ("username", "anna"), ("entity_id", "42"), ("active", "1")];
    server.sql("UPDATE account SET note = 'theirs' WHERE id = 101");
    let late = one.preview("/users/101/edit", &pairs);
    assert!(late.status == 409 && late.body.contains("changed meanwhile"), "{}", late.body);
    // What the preview showed has changed: the confirmation shows it anew.
    let pairs = [("username", "anna"), ("entity_id", "42"), ("active", "1"), ("note", "mine")];
    let preview = one.preview("/users/101/edit", &pairs);
    server.sql("UPDATE account SET note = 'theirs again' WHERE id = 101");
    let moved = one.confirm("/users/101/edit", &pairs, &preview);
    assert!(
        moved.status == 409 && moved.body.contains("theirs again") && moved.body.contains("name=\"digest\""),
        "{}",
        moved.body
    );
    assert_eq!(server.query::<String>("SELECT note FROM account WHERE id = 101"), "theirs again");
}

#[test]
fn the_days_work_is_done_by_forms() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    let done = |target: &str, pairs: &[(&str, &str)]| assert_eq!(admin.change(target, pairs).status, 303, "{target}");
    let query = |sql: &str| server.query::<i64>(sql);
    done("/new/entity", &[("name", "Adatum"), ("parent_id", "1"), ("id", "77")]);
    done(
        "/new/pool",
        &[("entity_id", "77"), ("license_type", "SqlBackup"), ("seats_total", "5"), ("expires_at", "2099-12-31")],
    );
    done("/new/user", &[("username", "zoe"), ("entity_id", "77")]);
    let zoe = query("SELECT id FROM account WHERE username = 'zoe'");
    done(&format!("/users/{zoe}/assign"), &[("entity", "77"), ("type", "SqlBackup")]);
    assert_eq!(query("SELECT count(*) FROM seat JOIN account ON account.id = account_id WHERE username = 'zoe'"), 1);
    done("/assign", &[("user", "new one"), ("entity", "77"), ("type", "SqlBackup"), ("enroll", "1")]);
    done(&format!("/users/{zoe}/transfer"), &[("to", "yan"), ("enroll", "1")]);
    done("/users/101/leave", &[("deactivate", "1")]);
    assert_eq!(query("SELECT active FROM account WHERE id = 101"), 0);
    done("/release", &[("seat", "1.2.102")]);
    assert_eq!(query("SELECT count(*) FROM seat WHERE pool_id = 1 AND account_id IS NOT NULL"), 0);
    // Many at once: those that are ticked, and all that match.
    let yan = query("SELECT id FROM account WHERE username = 'yan'").to_string();
    done("/leave", &[("user", &yan), ("user", "102"), ("deactivate", "1")]);
    assert_eq!(query("SELECT count(*) FROM account WHERE username IN ('yan', 'bert') AND active = 0"), 2);
    done("/leave", &[("matching", "1"), ("entity", "77"), ("below", "1"), ("deactivate", "1")]);
    assert_eq!(query("SELECT count(*) FROM account WHERE entity_id = 77 AND active = 1"), 0);
    assert_eq!(query("SELECT active FROM account WHERE id = 103"), 1, "one of another entity");
    assert_eq!(admin.preview("/leave", &[]).status, 422, "no user is selected");
    done("/offers/77", &[("seats-SqlBackup", "50"), ("expires_at", "2100-01-01")]);
    assert_eq!(query("SELECT seats_total FROM license_offer_module WHERE entity_id = 77"), 50);
    done("/offers/77/delete", &[]);
    done("/pools/2/delete", &[]);
    done("/entities/420/delete", &[]);
    assert_eq!(query("SELECT count(*) FROM entity WHERE id = 420"), 0);
    assert_eq!(server.database().violations(), []);
}

#[test]
fn shrinking_a_pool_proposes_whom_to_release_and_does_both() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    server.sql("UPDATE account SET active = 0 WHERE id = 102");
    let pairs = [("before", "3"), ("seats_total", "1")];
    let asked = admin.preview("/pools/1/resize", &pairs);
    assert!(asked.body.contains("value=\"1.2.102\" checked"), "{}", asked.body);
    assert!(
        asked.body.contains("value=\"1.1.101\"") && !asked.body.contains("value=\"1.1.101\" checked"),
        "{}",
        asked.body
    );
    assert!(!asked.body.contains("name=\"digest\""));
    let chosen = [&pairs[..], &[("seat", "1.2.102")]].concat();
    assert_eq!(admin.change("/pools/1/resize", &chosen).status, 303);
    let left = server.database().lines("SELECT seats_total, seats_in_use FROM license_pool WHERE id = 1");
    if !on_postgres() {
        assert_eq!(left, ["1 1"]);
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM seat WHERE account_id = 101"), 1);
}

#[test]
fn a_new_password_is_shown_once_and_counts_at_once() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    let preview = admin.preview("/credential/rotate?name=agent", &[]);
    let short = {
        let digest = between(&preview.body, "name=\"digest\" value=\"", "\"").expect("a digest");
        admin.post(
            "/credential/rotate?name=agent",
            &[("step", "confirm"), ("reason", "x"), ("digest", &digest), ("password", "too short")],
        )
    };
    assert!(short.status == 422 && short.body.contains("At least 12 characters"), "{}", short.body);
    assert!(!short.body.contains("too short"), "no password is sent back");
    let done = admin.confirm("/credential/rotate?name=agent", &[], &preview);
    let made =
        between(&done.body, "class=\"secret\" translate=\"no\">", "<").expect("the password").replace("&amp;", "&");
    assert_eq!(made.chars().count(), 20, "{made}");
    assert_eq!(done.header("cache-control"), Some("no-store"));
    assert!(server.assign("anna2", 42, "SqlBackup").body.contains("InvalidSoapCredentials"), "the old one ended");
    let answer = server.post11(&assign_envelope(
        "agent",
        &made.replace('<', "&lt;").replace('&', "&amp;"),
        "anna2",
        42,
        "SqlBackup",
    ));
    assert!(answer.body.contains("Success"), "{}", answer.body);
    let receipt = between(&done.body, "class=\"button\" href=\"..", "\"").expect("a receipt");
    assert!(!admin.get(&receipt).body.contains(&made));
    assert!(!admin.get("/history.json").body.contains(&made));
}

#[test]
fn a_password_that_is_too_long_is_refused_in_words() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    let long = "x".repeat(1025);
    let preview = admin.preview("/credential/rotate?name=agent", &[]);
    let answer = admin.confirm("/credential/rotate?name=agent", &[("password", &long)], &preview);
    assert!(answer.status == 422 && answer.body.contains("At most 1024 bytes"), "{}", answer.body);
}

/// Some systems write the last day of year 9999 for "never", which is later than what a timestamp can be.
#[test]
fn a_row_with_the_last_day_of_all_can_be_changed() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    server.sql("UPDATE license_pool SET expires_at = '9999-12-31T00:00:00Z' WHERE id = 1");
    let form = admin.get("/pools/1/edit").body;
    let shown = |name: &str| between(&form, &format!("name=\"{name}\" value=\""), "\"").unwrap_or_default();
    let expires = shown("was-expires_at");
    assert!(expires.starts_with("9999-12-3"), "{form}");
    let pairs = [
        ("was-expires_at", expires.clone()),
        ("expires_at", expires),
        ("was-product_key", shown("was-product_key")),
        ("product_key", "K-1".to_owned()),
    ];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let done = admin.change("/pools/1/edit", &pairs);
    assert_eq!(done.status, 303, "{}", done.body);
    let row = "SELECT count(*) FROM license_pool WHERE expires_at = '9999-12-31T00:00:00Z' AND product_key = 'K-1'";
    assert_eq!(server.query::<i64>(row), 1);
    assert!(admin.get("/pools/1").body.contains("9999-12-3"));
}

/// A form comes back from the sign-in without what was selected.
#[test]
fn leaving_without_a_selection_leads_to_the_users() {
    let server = server();
    let answer = Visitor::signed_in(&server, "admin").get("/leave");
    assert!(answer.status == 303 && answer.header("location").is_some_and(|to| to.ends_with("users")), "{answer:?}");
}

#[test]
fn an_import_tells_every_wrong_line_and_is_all_or_nothing() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    let count = || server.query::<i64>("SELECT count(*) FROM account");
    let before = count();
    let wrong = [("kind", "users"), ("csv", "username;entity_id\nok1;42\nbad;9999\nok2;42\nworse;\n")];
    let answer = admin.preview("/import", &wrong);
    assert_eq!(answer.status, 422);
    assert!(
        answer.body.contains("Line 3:") && answer.body.contains("Line 5:") && !answer.body.contains("Line 2:"),
        "{}",
        answer.body
    );
    let right = [("kind", "users"), ("csv", "username;entity_id\r\nok1;42\r\nok2;42\r\n")];
    assert_eq!(admin.change("/import", &right).status, 303);
    assert_eq!(count(), before + 2);
    // A file of Windows-1252, as it arrives.
    let spoiled = [("kind", "users"), ("csv", "username;entity_id\nok3;42\nM\u{FFFD}ller;42\n")];
    let answer = admin.preview("/import", &spoiled);
    assert!(
        answer.status == 422 && answer.body.contains("Line 3:") && answer.body.contains("CSV UTF-8"),
        "{}",
        answer.body
    );
    // As a file, too; and of a length that no other form may have.
    let many: String = (0..9_000).fold("username,entity_id,note\r\n".to_owned(), |mut text, n| {
        let _ = write!(text, "many{n},42,{}\r\n", "x".repeat(40));
        text
    });
    let token = &admin.token;
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n{token}\r\n--b\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\nusers\r\n\
         --b\r\nContent-Disposition: form-data; name=\"step\"\r\n\r\npreview\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"u.csv\"\r\n\
         Content-Type: text/csv\r\n\r\n{many}\r\n--b--\r\n"
    );
    assert!(body.len() > 300_000);
    let multipart = "Content-Type: multipart/form-data; boundary=b\r\n";
    let answer = admin.request("POST", "/import", multipart, &body);
    assert!(
        answer.status == 200 && answer.body.contains("User created: <strong>9000</strong>"),
        "{}",
        &answer.body[..2000.min(answer.body.len())]
    );
    assert_eq!(admin.request("POST", "/new/user", multipart, &body).status, 413);
    let huge = body.replace("many0,42", &format!("many0,42{}", "x".repeat(5 << 20)));
    assert_eq!(admin.request("POST", "/import", multipart, &huge).status, 413);
    assert_eq!(count(), before + 2);
}

#[test]
fn a_refusal_is_explained_and_what_helps_is_offered() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    assert!(server.assign("carl", 42, "SqlBackup").body.contains("Success"));
    let refused = server.assign("dora", 42, "SqlBackup");
    let id = between(&refused.body, "Err-", ";").or_else(|| between(&refused.body, "Err-", "<")).expect("an id")[..36]
        .to_owned();
    wait_until("the refusal is noted", || admin.get(&format!("/explain?id=Err-{id}")).status == 200);
    let page = admin.get(&format!("/explain?id=Err-{id}"));
    for part in ["dora", "NoFreeSeat", "not met: this one refuses", "pools/1/resize?seats_total=4"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(admin.get(&format!("/search?q=Err-{id}")).body.contains("dora"));
    assert!(admin.get("/refusals?user=dora").body.contains("NoFreeSeat"));
    assert!(admin.get("/").body.contains("NoFreeSeat"));
}

/// Markup, a direction that turns, the widest name there is, and formulas.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "\u{202E}turned {{7*7}}",
    "@SUM(1+1)",
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
];

/// A list without the filter would show rows that the address does not ask for, and a script would not notice.
#[test]
fn an_invalid_filter_is_refused_and_not_ignored() {
    let server = Server::with(Options { seed: data(), ..Options::default() });
    let admin = Visitor::signed_in(&server, "admin");
    for query in [
        "/pools?state=bogus",
        "/pools.csv?state=bogus",
        "/pools.json?type=Sql",
        "/pools?percent=many",
        "/users.csv?entity=4x2",
        "/users?entity=99999999999999999999",
        "/history?since=9999-99-99",
        "/history.csv?until=yesterday",
        "/history?action=bogus",
        "/refusals.json?since=2026-13-01",
        "/credentials?unused=x",
        "/pools/1?active=maybe",
        "/pools/1.csv?active=maybe",
        "/report/42?since=2026-13-01",
        "/report/42.csv?until=x",
        "/history/as-of?pool=1&at=x",
        "/history/as-of?pool=1&at=2026-11-26T15:30:00",
        "/history?until=2026-11-26+07:51",
        "/history?since=20261126",
        "/explain?user=u&entity=42&type=Sql",
    ] {
        let answer = admin.get(query);
        assert!(answer.status == 422 && answer.body.contains("not valid"), "{query}: {answer:?}");
    }
    for query in
        ["/pools?state=&percent=+90+&days=", "/history?since=2026-01-31&until=2099-01-31T12:00:00Z&action=assign"]
    {
        assert_eq!(admin.get(query).status, 200, "{query}");
    }
}

#[test]
fn hostile_data_is_text_on_every_page_and_in_every_file() {
    let mut seed = data();
    for (at, text) in HOSTILE.iter().enumerate() {
        let (text, id) = (text.replace('\'', "''"), 5000 + at);
        let hash = &*PASSWORD_HASH;
        let _ = write!(
            seed,
            "INSERT INTO entity (id, parent_id, name, owner_description, serial_nr, shop_url, customer_nr, note)
                 VALUES ({id}, 42, '{text}', '{text}', '{text}', '{text}', '{text}', '{text}');
             INSERT INTO account (id, username, entity_id, note) VALUES ({id}, '{text}', {id}, '{text}');
             INSERT INTO credential (user_name, password_hash, entity_id, note) VALUES ('{text}', '{hash}', {id}, '{text}');
             INSERT INTO license_pool (id, entity_id, license_type, seats_total, product_key, note) VALUES ({id}, {id}, 'SqlBackup', 2, '{text}', '{text}');
             UPDATE seat SET account_id = {id} WHERE pool_id = {id} AND seat_no = 1;
             INSERT INTO license_offer (entity_id, company_name, serial_nr) VALUES ({id}, '{text}', '{text}');"
        );
    }
    let server = Server::with(Options { seed, ..Options::default() });
    let admin = Visitor::signed_in(&server, "admin");
    for text in HOSTILE {
        server.assign(&text.replace('&', "&amp;").replace('<', "&lt;"), 43, "SqlBackup");
    }
    wait_until("refusals are noted", || admin.get("/refusals").body.matches("AlreadyExists").count() >= HOSTILE.len());
    let mut pages: Vec<String> = PAGES.iter().chain(FORMS).map(|page| (*page).to_owned()).collect();
    for (at, text) in HOSTILE.iter().enumerate() {
        let (id, name) = (5000 + at, form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
        pages.extend([
            format!("/entities/{id}"),
            format!("/entities/{id}/edit"),
            format!("/pools/{id}"),
            format!("/pools/{id}/edit"),
            format!("/users/{id}"),
            format!("/users/{id}/edit"),
            format!("/users/{id}/leave"),
            format!("/offers/{id}"),
            format!("/report/{id}"),
            format!("/credential?name={name}"),
            format!("/credential/edit?name={name}"),
            format!("/search?q={name}"),
            format!("/users?text={name}"),
            format!("/refusals?user={name}"),
            format!("/explain?user={name}&entity={id}&type=SqlBackup"),
            format!("/history?user={name}&actor={name}"),
            format!("/sign-in?to={name}"),
        ]);
    }
    for page in &pages {
        let answer = admin.get(page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.body);
        for raw in ["<script>alert", "<img"] {
            assert!(!answer.body.contains(raw), "{page} has {raw}");
        }
        // What turns the direction of text stands in an element of its own, or in a value.
        for (at, _) in answer.body.match_indices('\u{202E}') {
            let before = &answer.body[..at];
            let isolated = before.rfind("<bdi>").is_some_and(|open| !before[open..].contains("</bdi>"));
            let in_tag = before.rfind('<') > before.rfind('>');
            let in_control = ["<textarea", "<title", "<option"]
                .iter()
                .any(|tag| before.rfind(tag).is_some_and(|open| !before[open..].contains("</")));
            assert!(isolated || in_tag || in_control, "{page}: …{}", &before[before.len().saturating_sub(200)..]);
        }
    }
    for list in LISTS.iter().map(|list| list.replace("/pools/1", "/pools/5002").replace("/report/42", "/report/5002")) {
        let csv = admin.get(&format!("{list}.csv"));
        assert!(
            csv.status == 200 && csv.header("content-type").is_some_and(|t| t.starts_with("text/csv")),
            "{list}: {csv:?}"
        );
        assert!(csv.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
        for line in csv.body.lines() {
            for formula in ["=cmd", "@SUM"] {
                for (at, _) in line.match_indices(formula) {
                    // Inside the JSON of old and new values it begins no cell.
                    let before = line[..at].chars().next_back();
                    assert!(
                        before == Some('\'') || before == Some('"') && line[..at].ends_with(":\"\""),
                        "{list}: {line}"
                    );
                }
            }
        }
        let json = admin.get(&format!("{list}.json"));
        let rows: serde_json::Value =
            serde_json::from_str(&json.body).unwrap_or_else(|e| panic!("{list}: {e}: {}", json.body));
        assert!(rows.as_array().is_some_and(|rows| !rows.is_empty()), "{list}");
    }
}

#[test]
fn a_file_has_every_row_that_matches() {
    let mut seed = data();
    seed.push_str("INSERT INTO account (id, username, entity_id) VALUES ");
    let rows: Vec<String> = (0..2_500).map(|n| format!("({}, 'user{n:05}', 42)", 10_000 + n)).collect();
    seed.push_str(&(rows.join(", ") + ";"));
    let server = Server::with(Options { seed, ..Options::default() });
    let admin = Visitor::signed_in(&server, "admin");
    let csv = admin.get("/users.csv?name=user");
    assert_eq!(csv.body.lines().count(), 2_501);
    assert!(
        csv.body
            .starts_with("id,username,entity_id,entity_name,active,holds,note\r\n10000,user00000,42,Contoso,1,,\r\n"),
        "{}",
        &csv.body[..200]
    );
    let json: serde_json::Value = serde_json::from_str(&admin.get("/users.json?name=user").body).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(2_500));
    // A page has a hundred, and leads to the others in both directions.
    let mut target = "/users?name=user".to_owned();
    let mut seen = 0;
    loop {
        let page = admin.get(&target).body;
        seen += page.matches("<tr>").count() - 1;
        let Some(next) = between(&page, "data-key=\"n\"", "<")
            .and_then(|_| between(&page, "<a href=\"./users?name=user&amp;after=", "\""))
        else {
            break;
        };
        assert!(target == "/users?name=user" || page.contains("Previous page"));
        target = format!("/users?name=user&after={next}");
    }
    assert_eq!(seen, 2_500);
}

#[test]
fn what_is_exported_can_be_imported_again() {
    let seed = data()
        + "UPDATE entity SET note = '=1+1', customer_nr = '''=x' WHERE id = 42;
           UPDATE account SET note = 'a;b \"c\"' WHERE id = 101;";
    let server = Server::with(Options { seed, ..Options::default() });
    let admin = Visitor::signed_in(&server, "admin");
    for kind in ["entities", "users", "pools", "assignments"] {
        let rows = admin.get(&format!("/import/{kind}.csv"));
        assert_eq!(rows.status, 200, "{kind}");
        let answer = admin.preview("/import", &[("kind", kind), ("csv", &rows.body)]);
        assert!(answer.body.contains("There is nothing to change"), "{kind}: {}", answer.body);
    }
    // One row is changed among those that stay as they are.
    let rows = admin.get("/import/users.csv").body.replace("bert", "bertram");
    assert_eq!(admin.change("/import", &[("kind", "users"), ("csv", &rows)]).status, 303);
    assert_eq!(server.query::<String>("SELECT username FROM account WHERE id = 102"), "bertram");
    assert!(!Visitor::signed_in(&server, "boss").get("/import/users.csv").body.contains("fay"));
}

#[test]
fn the_past_of_a_pool_and_of_a_user_is_shown() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    // Events have times of milliseconds; the moment is after those of the seed.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let now = jiff::Timestamp::now().to_string();
    let at = &form_urlencoded::byte_serialize(now.as_bytes()).collect::<String>();
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(admin.change("/users/101/leave", &[("deactivate", "1")]).status, 303);
    let pool = admin.get(&format!("/history/as-of?pool=1&at={at}")).body;
    assert!(pool.contains("anna") && pool.contains("bert") && pool.contains("2 / 3"), "{pool}");
    let user = admin.get(&format!("/history/as-of?user=anna&at={at}")).body;
    assert!(user.contains("SqlBackup") && user.contains("/pools/1"), "{user}");
    let before = admin.get("/history/as-of?pool=1&at=2001-01-01").body;
    assert!(before.contains("0 / 0") && before.contains("No seat is taken"), "{before}");
}

#[test]
fn the_pages_speak_the_browsers_language() {
    let server = server();
    let mut visitor = Visitor::signed_in(&server, "admin");
    assert!(visitor.get("/").body.contains("<html lang=\"en\">"));
    visitor.language = "de-AT,de;q=0.9,en;q=0.8";
    for page in PAGES.iter().chain(FORMS) {
        let body = visitor.get(page).body;
        assert!(body.contains("<html lang=\"de\">"), "{page}");
        for english in ["Filter</button>", "Preview<", "Nothing matches", "Sign out<", "(required)"] {
            assert!(!body.contains(english), "{page} has {english}");
        }
    }
}

#[test]
fn every_page_has_one_heading_and_labels() {
    let server = server();
    let admin = Visitor::signed_in(&server, "admin");
    for page in PAGES.iter().chain(FORMS) {
        let body = admin.get(page).body;
        assert_eq!(body.matches("<h1>").count(), 1, "{page}");
        assert_eq!(body.matches("<main").count(), 1, "{page}");
        assert!(body.contains("<a class=\"skip\" href=\"#content\">") && body.contains("id=\"content\""), "{page}");
        for id in body.split("<label for=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(body.contains(&format!("id=\"{id}\"")), "{page}: {id}");
        }
        assert_eq!(body.matches("<td").count() > 0, body.matches("scope=\"col\"").count() > 0, "{page}");
    }
}

#[test]
fn the_pages_work_below_a_prefix_and_behind_a_proxy_that_adds_one() {
    let server = Server::with(Options { seed: data(), path_prefix: Some("/SuperOffice"), ..Options::default() });
    let admin = Visitor::signed_in(&server, "admin");
    for page in ["/SuperOffice/pools/1", "/superoffice/POOLS/1", "/pools/1"] {
        let answer = admin.get(page);
        assert_eq!(answer.status, 200, "{page}");
        // Relative: no address begins at the root of the host.
        for attribute in ["href=\"/", "action=\"/", "src=\"/"] {
            assert!(!answer.body.contains(attribute), "{page} has {attribute}");
        }
    }
}
