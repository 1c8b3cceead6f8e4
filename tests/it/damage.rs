//! Files damaged in many ways. What `check` calls ok is served, and calls are answered; what `check` rejects is not served; and the
//! check leaves the file as it was.
//!
//! SEATKEEPER_DAMAGES says how many files are damaged; SEATKEEPER_SEED repeats the choices of a run that failed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::*;
use crate::kill::{Random, number_from};
use crate::program::{Serving, seatkeeper};
use crate::web::basic;

const PAGE: usize = 4096;
const DAMAGES: u64 = 64;

/// [`owners_data`], and so many more rows that the tables have several pages: accounts that hold and held seats, texts, an offer,
/// a ticket. Nothing has it open, and nothing is in its log.
fn sound(directory: &TempDir) -> Vec<u8> {
    let database = directory.join("sound.db");
    sql(&database, &owners_data()).expect("seed");
    let more = "
        UPDATE license_pool SET seats_total = 300, product_key = 'Schlüssel', starts_at = '2020-01-01T00:00:00Z' WHERE id = 2;
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
            INSERT INTO account (id, username, entity_id, note) SELECT 1000 + i, 'user-' || i || '-Müller', 42, 'Notiz ' || i FROM n;
        UPDATE seat SET account_id = 1000 + seat_no WHERE pool_id = 2 AND seat_no <= 200;
        UPDATE seat SET account_id = NULL WHERE pool_id = 2 AND seat_no BETWEEN 50 AND 80;
        UPDATE seat SET product_key = 'own' WHERE pool_id = 2 AND seat_no = 7;
        INSERT INTO license_offer (entity_id, company_name) VALUES (42, 'Contoso Größer');
        INSERT INTO license_offer_module VALUES (42, 'SqlBackup', 400);";
    sql(&database, more).expect("more");
    let ticket = "INSERT INTO ticket VALUES ('6f1c1b1e-7c5e-4b61-9a51-0d6f6f0f0a01', zeroblob(32), 'agent', '2099-01-01T00:00:00Z')";
    unguarded(&database, ticket);
    std::fs::read(&database).expect("read")
}

/// Damages the file; what was done, for whoever reads a failure.
fn damage(file: &mut Vec<u8>, kind: u64, random: &mut Random) -> String {
    let pages = (file.len() / PAGE) as u64;
    let page = random.below(pages) as usize;
    let start = page * PAGE;
    let any_byte = |random: &mut Random| random.below(256) as u8;
    match kind % 8 {
        0 | 1 => {
            let (at, bit) = (start + random.below(PAGE as u64) as usize, random.below(8));
            file[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} is flipped")
        }
        // Where a page says what is in it.
        2 => {
            let (at, byte) = (start + random.below(64) as usize, any_byte(random));
            file[at] = byte;
            format!("byte {at} is {byte}")
        }
        3 => {
            file[start..start + PAGE].fill(0);
            format!("page {} is zero", page + 1)
        }
        4 => {
            let other = random.below(pages) as usize * PAGE;
            for at in 0..PAGE {
                file.swap(start + at, other + at);
            }
            format!("pages {} and {} are swapped", page + 1, other / PAGE + 1)
        }
        5 => {
            let bytes = random.below(file.len() as u64) as usize;
            file.truncate(bytes);
            format!("the file ends after {bytes} bytes")
        }
        6 => {
            let (at, byte) = (random.below(100) as usize, any_byte(random));
            file[at] = byte;
            format!("byte {at} of the header is {byte}")
        }
        _ => {
            let byte = any_byte(random);
            let (at, count) = (start + random.below(PAGE as u64 - 16) as usize, random.between(2, 16) as usize);
            file[at..at + count].fill(byte);
            format!("{count} bytes from {at} on are {byte}")
        }
    }
}

/// Calls that read and write every table that calls use. What they are answered depends on what is in the file; the log has no
/// error, and nothing hangs.
fn calls(service: &Serving) {
    let mut client = Client::to(service.address);
    let holding = |user: &str, kind: &str| format!("<Username>{user}</Username><LicenseType>{kind}</LicenseType>");
    let summary = "<EntityId>42</EntityId><GetOnlyChildAccounts>false</GetOnlyChildAccounts>";
    for user in ["user-1-Müller", "user-60-Müller", "anna", "somebody-new"] {
        for kind in ["SqlBackup", "ExchangeBackup"] {
            let assign = assign_envelope("agent", PASSWORD, user, 42, kind);
            assert_eq!(client.send(&post11(&assign)).status, 200);
        }
        client.send(&call11("GetAssignedLicenseDetails", "agent", &holding(user, "SqlBackup")));
        client.send(&call11("UnassignLicense", "admin", &holding(user, "SqlBackup")));
    }
    client.send(&call11("GetAssignedLicensesSummary", "agent", summary));
    client.send(&call11("GetLicensePools", "contoso", "<EntityId>42</EntityId>"));
    client.send(&authenticate("agent", PASSWORD));
    for path in ["", "/CONTOSO", "/FABRIKAM", "/User/101", "/User/1007", "/CONTOSO/SqlBackup/History"] {
        for user in ["agent", "contoso", "outside"] {
            let request = format!("GET /api/v1/License{path} HTTP/1.1\r\nHost: x\r\n{}\r\n", basic(user, PASSWORD));
            let status = client.send(request.as_bytes()).status;
            assert!(status < 500, "{path}: {status}");
        }
    }
}

/// Invariants that files from before the rules for names and text may break, and are served all the same.
const TOLERATED: [&str; 5] = [
    "names have no blank at either end: ",
    "text is valid UTF-8, ",
    "credentials have a password hash that can be verified: ",
    "no row is left in the middle of a change: ",
    "no call is left under way: ",
];

/// What became of one damaged file: whether it was served.
fn verdicts_agree(database: &Path, what: &str) -> bool {
    let damaged = std::fs::read(database).expect("read");
    let check = seatkeeper("check", database, &[], "");
    assert!(matches!(check.code, Some(0 | 1 | 3)), "{what}: {check:?}");
    assert!(std::fs::read(database).expect("read") == damaged, "{what}: the check changed the file");
    let beside: BTreeSet<_> = std::fs::read_dir(database.parent().expect("a directory"))
        .expect("read")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    assert_eq!(beside.len(), 1, "{what}: {beside:?}");
    let broken: Vec<&str> = check.stdout.lines().filter_map(|line| line.strip_prefix("broken: ")).collect();
    assert_eq!(broken.is_empty(), check.code != Some(1), "{what}: {check:?}");
    let is_tolerated = |line: &&str| TOLERATED.iter().any(|invariant| line.starts_with(invariant));
    let is_served = check.code != Some(3) && broken.iter().all(is_tolerated);
    match Serving::try_start(database) {
        Ok(service) => {
            assert!(is_served, "{what}: check rejects what is served: {check:?}");
            calls(&service);
            let log = service.log();
            // A credential with a damaged hash is an error of its own, which the check has named.
            let errors = log.lines().filter(|line| line.contains("\"level\":\"ERROR\""));
            let errors: Vec<&str> = errors.filter(|line| !line.contains("give it a new hash")).collect();
            assert!(errors.is_empty(), "{what}: {check:?}: {errors:#?}");
        }
        Err(refused) => {
            assert!(!is_served, "{what}: check finds nothing, and serve refuses it: {check:?} {refused:?}");
            assert_eq!(refused.code, Some(3), "{what}: {refused:?}");
            assert!(
                refused.stderr.lines().last().is_some_and(|line| line.starts_with("error: ")),
                "{what}: {refused:?}"
            );
            assert!(std::fs::read(database).expect("read") == damaged, "{what}: the refused file was changed");
        }
    }
    is_served
}

#[test]
fn what_check_calls_ok_is_served_and_what_it_rejects_is_not() {
    let directory = TempDir::new();
    let sound = sound(&directory);
    let mut random = Random::from_seed();
    let damages = number_from("SEATKEEPER_DAMAGES").unwrap_or(DAMAGES);
    let (mut served, mut failed) = (0, 0);
    for number in 0..damages {
        let place = directory.join(&format!("{number}"));
        std::fs::create_dir(&place).expect("directory");
        let database = place.join("seats.db");
        let mut file = sound.clone();
        let what = format!("file {number}: {}", damage(&mut file, number, &mut random));
        if file == sound {
            continue;
        }
        std::fs::write(&database, &file).expect("write");
        // All of them are tried, so that one run shows all that is wrong.
        match std::panic::catch_unwind(|| verdicts_agree(&database, &what)) {
            Ok(is_served) => served += u64::from(is_served),
            Err(_) => failed += 1,
        }
        std::fs::remove_dir_all(&place).expect("clean up");
    }
    assert_eq!(failed, 0, "of {damages} files");
    println!("{served} of {damages} damaged files were served");
    // Pages have room that nothing reads, and texts have bytes that mean nothing: some files are as good as before.
    assert!(served < damages / 2, "{served} of {damages}");
}

#[test]
fn an_undamaged_file_is_served() {
    let directory = TempDir::new();
    let sound = sound(&directory);
    let place = directory.join("one");
    std::fs::create_dir(&place).expect("directory");
    std::fs::write(place.join("seats.db"), sound).expect("write");
    assert!(verdicts_agree(&place.join("seats.db"), "nothing"));
}

/// The first change that needs a page would stop the service.
#[test]
fn a_wrong_count_of_free_pages_is_found() {
    let directory = TempDir::new();
    let mut file = sound(&directory);
    file[36] = 227;
    let place = directory.join("one");
    std::fs::create_dir(&place).expect("directory");
    let database = place.join("seats.db");
    std::fs::write(&database, file).expect("write");
    let check = seatkeeper("check", &database, &[], "");
    assert!(check.code == Some(1) && check.stdout.contains("free pages"), "{check:?}");
    assert!(!verdicts_agree(&database, "the count of free pages"));
}
