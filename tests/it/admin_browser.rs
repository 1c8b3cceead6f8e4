//! The pages for administrators in a real browser: the tasks of a day, each by keyboard alone, without scripts and on a phone; axe and the
//! width of a phone on every page in both languages and color schemes; hostile names; the one-time links; and the pictures of the README.

use std::path::Path;

use serde_json::json;

use crate::admin_pages::{FORMS, PAGES, data};
use crate::harness::*;
use crate::program::{Serving, program};
use crate::walk::{Walker, Way};
use crate::window::Window;

/// The tasks of a day, in `tests/walks`.
const WALKS: &[&str] = &[
    "session", "onboard", "pool", "bulk", "password", "holders", "leaver", "transfer", "refused", "two", "import",
    "report",
];

/// In memory: a disk may need longer for one change than a step of a walk waits, right after everything was compiled.
fn server() -> Server {
    Server::with(Options { seed: data(), in_memory: true, ..Options::default() })
}

/// Takes every walk in this way, each on a service of its own. `WALK=pool`: that one alone.
fn walk_all(way: Way) {
    let only = std::env::var("WALK").ok();
    let mut window = Walker::open_window(way);
    for name in WALKS.iter().filter(|name| only.as_deref().is_none_or(|only| only == **name)) {
        let server = server();
        window = Walker::new(&server, way, window).walk(name);
        assert_eq!(server.violations(), [], "{name}");
    }
}

#[test]
fn a_day_is_done_by_keyboard_alone() {
    walk_all(Way::Keyboard);
}

#[test]
fn a_day_is_done_without_scripts() {
    walk_all(Way::NoScript);
}

#[test]
fn a_day_is_done_on_a_phone() {
    walk_all(Way::Phone);
}

/// Signs in as `admin`.
fn signed_in(server: &Server, width: u32) -> Window {
    let window = Window::open(width, 900);
    window.go(&format!("http://{}/sign-in", server.address));
    window.fill_in("#user", "admin");
    window.fill_in("#password", PASSWORD);
    window.click("main button");
    assert!(window.wait("!!document.querySelector('nav.main') && document.readyState === 'complete'"), "signed in");
    window
}

#[test]
fn keys_move_through_the_pages() {
    let server = server();
    let window = signed_in(&server, 1280);
    let arrives = |path: &str| assert!(window.wait(&format!("location.pathname === '{path}'")), "{path}");
    window.keys(&['g', 'p']);
    arrives("/pools");
    window.wait("document.readyState === 'complete'");
    window.keys(&['j', 'j', 'k', '\u{e007}']);
    arrives("/pools/1");
    window.wait("document.readyState === 'complete'");
    window.keys(&['/']);
    assert_eq!(window.evaluate("document.activeElement.id"), "q");
    window.keys(&['g', 'p']);
    assert_eq!(window.evaluate("document.activeElement.value"), "gp", "a letter in a field is a letter");
    window.keys(&['\u{e00c}', '?']);
    arrives("/help/keys");
    assert!(window.wait("!!document.querySelector('#keys-switch button')"), "the script runs");
    window.without_scripts();
    window.go(&format!("http://{}/help/keys", server.address));
    assert_eq!(
        window.evaluate("document.querySelectorAll('#keys-switch button').length"),
        0,
        "the script does not run"
    );
    assert_eq!(window.complaints(), Vec::<String>::new());
}

#[test]
fn a_form_that_is_sent_twice_changes_once() {
    let server = server();
    let window = signed_in(&server, 1280);
    let events = || server.query::<i64>("SELECT count(*) FROM audit_event");
    let preview = |seats: &str| {
        window.go(&format!("http://{}/pools/1/resize", server.address));
        window.run("document.getElementById('f-seats_total').value = arguments[0]", json!([seats]));
        window.click("button.main");
        assert!(window.wait("!!document.querySelector('[name=digest]')"), "a preview");
        window.fill_in("#f-reason", "twice");
    };
    let before = events();
    preview("7");
    window.run("const b = document.querySelector('button.main'); b.click(); b.click();", json!([]));
    assert!(window.wait("document.body.innerText.includes('Receipt')"), "the receipt");
    assert_eq!(events(), before + 1);
    // And if the first press is sent again by the browser's back button.
    window.navigate("back");
    assert!(window.wait("document.readyState === 'complete'"));
    assert_eq!(events(), before + 1);
    // Without the script both are sent; the second has nothing left to change.
    window.without_scripts();
    preview("9");
    window.run("const b = document.querySelector('button.main'); b.click(); b.click();", json!([]));
    assert!(window.wait("!document.querySelector('#f-reason') || document.body.innerText.includes('Nothing')"));
    assert_eq!(events(), before + 2);
    assert_eq!(server.query::<i64>("SELECT seats_total FROM license_pool WHERE id = 1"), 9);
}

/// Every page of the surfaces for developers.
const DEVELOPERS: &[&str] = &[
    "/WebApi/AccountManagementService/LicenseManagementService.asmx",
    "/WebApi/AccountManagementService/LicenseManagementService.asmx?op=AssignLicense",
    "/WebApi/AccountManagementService/LicenseManagementService.asmx?op=AssignLicenses",
    "/WebApi/AccountManagementService/LicenseManagementService.asmx?op=GetLicenseStatus",
    "/WebApi/AccountManagementService/LicenseManagementService.asmx?op=Nope",
    "/Remote/Services86/License.svc",
    "/Remote/Services88/License.svc",
    "/Remote/Services88/SoPrincipal.svc",
];

/// Names that break a page if it lets them: markup, text from right to left and its controls, 128 wide characters, one long word.
fn hostile_data() -> String {
    let wide = "漢".repeat(128);
    let long = "W".repeat(128);
    data()
        + &format!(
            "INSERT INTO entity (id, parent_id, name, owner_name, note) VALUES
                 (501, 42, '<script>alert(1)</script><h1>x</h1>', 'OWNER501', '\"><img src=x onerror=alert(1)>'),
                 (502, 42, 'שלום עולם (RTL) 12', 'OWNER502', 'مرحبا'),
                 (503, 42, '{wide}', '{long}', '{long}'), (504, 503, '{long}', NULL, NULL);
             INSERT INTO account (id, username, entity_id, note) VALUES
                 (601, '<b>bold</b>&amp;\"''', 42, '<i>'), (602, 'عربي 12 user', 42, NULL), (603, '{wide}', 503, '{wide}'),
                 (604, '{long}', 504, '=1+1');
             INSERT INTO license_pool (id, entity_id, license_type, seats_total, note, product_key) VALUES
                 (31, 503, 'SqlBackup', 4, '{wide}', '{long}'), (32, 501, 'ExchangeBackup', 4, '<u>', NULL);
             UPDATE seat SET account_id = 601 WHERE pool_id = 31 AND seat_no = 1;
             UPDATE seat SET account_id = 602 WHERE pool_id = 31 AND seat_no = 2;
             UPDATE seat SET account_id = 603 WHERE pool_id = 31 AND seat_no = 3;
             UPDATE seat SET account_id = 604 WHERE pool_id = 31 AND seat_no = 4;"
        )
}

const HOSTILE: &[&str] = &[
    "/entities/501",
    "/entities?all=1",
    "/users?text=W",
    "/history?pool=31",
    "/entities/502",
    "/entities/503",
    "/entities/504",
    "/entities/503/edit",
    "/entities/504/delete",
    "/pools/31",
    "/pools/32",
    "/pools/31/edit",
    "/pools/31/resize",
    "/users/601",
    "/users/602",
    "/users/603",
    "/users/604",
    "/users/604/leave",
    "/users/603/transfer",
    "/report/503",
    "/search?q=%3Cb%3E",
    "/search?q=W",
    "/explain?user=%3Cb%3Ebold&entity=503&type=SqlBackup",
    "/offers/503",
    "/history?user=%D8%B9",
];

#[test]
fn axe_finds_nothing_and_every_page_fits_a_phone() {
    let server = Server::with(Options { seed: hostile_data(), ..Options::default() });
    server.assign("nobody-yet", 43, "ExchangeBackup");
    let window = signed_in(&server, 375);
    let mut wrong = Vec::new();
    let lists = ["/entities?text=zzz", "/pools?entity=420", "/refusals?code=x", "/import", "/history?user=zzz"];
    let pages = PAGES.iter().chain(FORMS).chain(HOSTILE).chain(DEVELOPERS).chain(&lists);
    let outside = ["/sign-in", "/sign-in?out=1", "/sign-in/0", "/entities/77777"];
    for page in pages.chain(&outside) {
        for (language, scheme) in [("en", "light"), ("de", "dark")] {
            window.speak(language);
            window.color(scheme);
            window.go(&format!("http://{}{page}", server.address));
            let (out, found) = (window.sticking_out(), window.axe());
            if !out.is_empty() {
                wrong.push(format!("{page} {language}: sticks out: {out}"));
            }
            if !found.is_empty() {
                wrong.push(format!("{page} {language} {scheme}: {found}"));
            }
            // A script of a name would have run, or been stopped by the policy with a complaint.
            wrong.extend(window.complaints().into_iter().map(|complaint| format!("{page}: {complaint}")));
        }
        // The colors of the other pairs: only they can differ.
        for (language, scheme) in [("en", "dark"), ("de", "light")] {
            window.speak(language);
            window.color(scheme);
            window.go(&format!("http://{}{page}", server.address));
            let found = window.axe();
            if !found.is_empty() {
                wrong.push(format!("{page} {language} {scheme}: {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_link_of_an_empty_database_makes_the_first_administrator() {
    let directory = TempDir::new();
    let file = directory.join("empty.db");
    let serving = Serving::start_with(&file, &["--create"]);
    let link = wait_for_link(|| serving.log(), "/first-admin/");
    let window = Window::open(375, 812);
    window.go(&format!("http://{}{link}", serving.address));
    for (field, text) in [
        ("#f-entity", "Northwind"),
        ("#f-user", "root"),
        ("#f-password", "correct horse"),
        ("#f-again", "correct horse"),
    ] {
        window.fill_in(field, text);
    }
    assert_eq!((window.sticking_out(), window.axe()), (String::new(), String::new()));
    window.click("main button");
    assert!(window.wait("document.body.innerText.includes('Signed in as root')"));
    // It counts once.
    window.go(&format!("http://{}{link}", serving.address));
    assert_eq!(window.text("h1"), "The link is not valid");
}

#[test]
fn the_link_of_the_demo_opens_the_pages_signed_in() {
    use std::io::{BufRead as _, BufReader};
    let directory = TempDir::new();
    let file = directory.join("demo.db");
    let mut demo = program("demo", &file)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the demo");
    let lines = BufReader::new(demo.stdout.take().expect("is piped")).lines().map_while(Result::ok);
    let link = lines
        .filter_map(|line| line.split_once("pages").map(|(_, link)| link.trim().to_owned()))
        .next()
        .expect("a link");
    let window = Window::open(1280, 900);
    window.go(&link);
    window.click("main button");
    assert!(window.wait("document.body.innerText.includes('What needs attention')"));
    window.go(&link);
    assert_eq!(window.text("h1"), "The link is not valid");
    let _ = demo.kill();
    let _ = demo.wait();
}

fn wait_for_link(log: impl Fn() -> String, path: &str) -> String {
    let find = || {
        log()
            .find(path)
            .map(|at| log()[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/-".contains(*c)).collect())
    };
    wait_until("the link is printed", || find().is_some_and(|link: String| link.len() > path.len() + 60));
    find().expect("it is there")
}

/// Three companies with pools that are nearly full, about to expire and held after their end; two months of use.
fn pictured_data() -> String {
    let hash = &*PASSWORD_HASH;
    let now = jiff::Timestamp::now();
    let day = |days: i64| format!("{:.0}", now + jiff::SignedDuration::from_hours(24 * days));
    let mut seed = format!(
        "INSERT INTO entity (id, parent_id, name, owner_name, customer_nr) VALUES (1, NULL, 'Northwind Distribution', NULL, NULL),
             (42, 1, 'Contoso Backup', 'CONTOSO', 'C-1042'), (43, 1, 'Fabrikam Hosting', 'FABRIKAM', 'C-1043'),
             (44, 1, 'Wingtip Clinics', 'WINGTIP', 'C-1044');
         INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('admin', '{hash}', 1, 'admin'),
             ('agent', '{hash}', 1, 'agent'), ('fabrikam-agent', '{hash}', 43, 'agent');
         INSERT INTO license_pool (id, entity_id, license_type, seats_total, expires_at) VALUES
             (1, 42, 'SqlBackup', 60, '{}'), (2, 42, 'ExchangeBackup', 10, '{}'), (3, 43, 'SqlBackup', 25, NULL),
             (4, 44, 'SkraftDiskImageV5', 8, '{}'), (5, 44, 'SqlBackup', 12, '{}');\n",
        day(201), day(25), day(-4), day(6),
    );
    let mut holder = |pool: i64, entity: i64, seat: i64| {
        let account = pool * 1000 + seat;
        seed += &format!(
            "INSERT INTO account (id, username, entity_id) VALUES ({account}, 'backup-{pool}{seat:02}', {entity});
             UPDATE seat SET account_id = {account} WHERE pool_id = {pool} AND seat_no = {seat};\n"
        );
    };
    for seat in 1..=54 {
        holder(1, 42, seat);
        if seat % 3 == 0 {
            holder(3, 43, seat / 3);
        }
        match seat {
            1..=10 => holder(2, 42, seat),
            21..=24 => holder(4, 44, seat - 20),
            41..=45 => holder(5, 44, seat - 40),
            _ => {}
        }
    }
    for seat in [4, 9, 15, 16, 31] {
        seed += &format!("UPDATE seat SET account_id = NULL WHERE pool_id = 1 AND seat_no = {seat};\n");
    }
    seed
}

/// The pictures of the README: home, a pool, and why a call was refused. `UPDATE_SCREENSHOTS=1` takes them again.
#[test]
fn the_pictures_of_the_readme_are_of_these_pages() {
    let server = Server::with(Options { seed: pictured_data(), ..Options::default() });
    // As if it had happened over two months.
    let events = server.database().lines("SELECT id FROM audit_event ORDER BY id");
    let step = 60.0 * 24.0 * 60.0 / f64::from(u32::try_from(events.len()).expect("few"));
    let mut spread = String::new();
    for (at, id) in (0u32..).zip(&events) {
        // Slower in the middle, as in a summer.
        let minutes = 60.0 * 24.0 * 60.0 - f64::from(at) * step;
        let time = jiff::Timestamp::now() - jiff::SignedDuration::from_secs_f64((minutes * 60.0).round());
        spread += &format!("UPDATE audit_event SET at = '{time:.3}' WHERE id = {id};\n");
    }
    let now = jiff::Timestamp::now();
    let done = format!("{:.0}", now - jiff::SignedDuration::from_hours(9));
    spread += &format!(
        "INSERT INTO upkeep (task, at, detail) VALUES ('backup', '{done}', '4.2 MB'), ('check', '{done}', 'nothing wrong');"
    );
    server.unguarded(&spread);
    for user in ["exchange-11", "exchange-12"] {
        server.assign(user, 42, "ExchangeBackup");
    }
    let refused = server.assign("clinic-9", 44, "SkraftDiskImageV5").body;
    let id: String = refused[refused.find("Err-").expect("an id")..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    for _ in 0..3 {
        server.post11(&assign_envelope("fabrikam-agent", "an old password", "backup-301", 43, "SqlBackup"));
    }
    wait_until("the refusals are noted", || server.query::<i64>("SELECT count(*) FROM refusal") >= 3);
    wait_until("the failures are noted", || {
        server.query::<i64>("SELECT count(*) FROM credential_use WHERE failures > 0") >= 1
    });

    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    let window = signed_in(&server, 1280);
    for (name, page, height, shows) in [
        ("home", "/".to_owned(), 600, "What needs attention"),
        ("pool", "/pools/1".to_owned(), 920, "Use over time"),
        ("explain", format!("/explain?id={id}"), 1000, "It would be refused"),
    ] {
        window.resize(1280, height);
        window.go(&format!("http://{}{page}", server.address));
        assert!(window.text("main").contains(shows), "{name}: {}", window.text("main"));
        let picture = window.screenshot(&format!("readme-{name}"));
        let kept = images.join(format!("{name}.png"));
        if std::env::var_os("UPDATE_SCREENSHOTS").is_some() {
            std::fs::create_dir_all(&images).expect("directory");
            std::fs::copy(&picture, &kept).expect("copy");
        }
        let size =
            std::fs::metadata(&kept).unwrap_or_else(|e| panic!("{}: {e}. UPDATE_SCREENSHOTS=1", kept.display())).len();
        assert!(size < 200_000, "{name}: {size} bytes");
    }
}
