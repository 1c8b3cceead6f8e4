//! The operations besides AssignLicense, at the wire.

use crate::harness::*;

fn holding(username: &str, license_type: &str) -> String {
    format!("<Username>{username}</Username><LicenseType>{license_type}</LicenseType>")
}

fn transfer(from: &str, to: &str) -> String {
    format!("<FromUsername>{from}</FromUsername><ToUsername>{to}</ToUsername><LicenseType>SqlBackup</LicenseType>")
}

fn summary(entity: i32, children_only: &str) -> String {
    format!("<EntityId>{entity}</EntityId><ChildAccountsOnly>{children_only}</ChildAccountsOnly>")
}

/// The texts of all elements of this name.
fn all(answer: &Answer, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    answer.body.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap_or_default().to_owned()).collect()
}

fn code(answer: &Answer) -> String {
    all(answer, "Code").pop().unwrap_or_else(|| panic!("no Code in {answer:?}"))
}

#[test]
fn details_are_the_seats_own_or_else_the_pools() {
    let server = Server::start();
    server.sql(
        "UPDATE license_pool SET product_key = 'POOL-KEY', license_data = x'00010203' WHERE id = 1;
         UPDATE license_pool SET seats_total = 2 WHERE id = 1;",
    );
    assert_eq!(server.assign("a", 42, "SqlBackup").code(), "Success");
    assert_eq!(server.assign("b", 42, "SqlBackup").code(), "Success");
    server.sql(
        "UPDATE seat SET product_key = 'SEAT-KEY', license_data = x'FF'
          WHERE account_id = (SELECT id FROM account WHERE username = 'b')",
    );
    let details =
        |user: &str, username: &str| server.call("GetAssignedLicenseDetails", user, &holding(username, "SqlBackup"));
    let a = details("reader", "A");
    assert!(
        a.body.contains(
            "<GetAssignedLicenseDetailsResponse xmlns=\"sosonlinebackup.com\"><GetAssignedLicenseDetailsResult>\
             <ProductKey>POOL-KEY</ProductKey><LicenseData>AAECAw==</LicenseData><Result><Result>0</Result>\
             <Code>Success</Code><Message /></Result></GetAssignedLicenseDetailsResult>"
        ),
        "{}",
        a.body
    );
    let b = details("agent", "b");
    assert!(b.body.contains("<ProductKey>SEAT-KEY</ProductKey><LicenseData>/w==</LicenseData>"), "{}", b.body);
    // An empty cell of a spreadsheet is no key.
    server.sql("UPDATE seat SET product_key = '' WHERE pool_id = 1");
    assert!(details("agent", "b").body.contains("<ProductKey>POOL-KEY</ProductKey>"));
    server.sql("UPDATE license_pool SET product_key = '', license_data = NULL WHERE id = 1");
    let neither = details("agent", "a");
    assert!(neither.body.contains("Result><Result><Result>0<"), "null members are left out: {}", neither.body);

    server.sql("INSERT INTO account (username, entity_id) VALUES ('theirs', 43), ('idle', 42)");
    let not_held = details("contoso", "nobody");
    assert_eq!(code(&not_held), "NotAssigned");
    assert!(!not_held.body.contains("ProductKey"));
    for (user, username) in [("contoso", "theirs"), ("contoso", "idle"), ("contoso", "nobody")] {
        let told = details(user, username).message();
        assert_eq!(told[40..].replace(username, "nobody"), not_held.message()[40..], "all alike");
    }
}

#[test]
fn the_summary_lists_who_holds_what_in_the_subtree() {
    let server = Server::start();
    server.sql(
        "INSERT INTO entity (id, parent_id, name) VALUES (4200, 420, 'Contoso Far West');
         INSERT INTO account (id, username, entity_id) VALUES
             (1, 'top', 1), (2, 'contoso', 42), (3, 'west', 420), (4, 'far west', 4200), (5, 'fabrikam', 43), (6, 'other', 9), (7, 'idle', 42);
         INSERT INTO license_pool (id, entity_id, license_type, seats_total) VALUES (10, 9, 'ExchangeBackup', 9), (11, 9, 'SkraftDiskImageV5', 9);
         UPDATE seat SET account_id = seat_no WHERE pool_id = 10 AND seat_no <= 6;
         UPDATE seat SET account_id = 2 WHERE pool_id = 11 AND seat_no = 1;",
    );
    let ask = |user: &str, entity: i32, children_only: &str| {
        let answer = server.call("GetAssignedLicensesSummary", user, &summary(entity, children_only));
        let mut holders = all(&answer, "Username");
        holders.sort();
        (code(&answer), holders.join(", "))
    };
    let success = |holders: &str| ("Success".to_owned(), holders.to_owned());
    assert_eq!(ask("reader", 42, "false"), success("contoso, contoso, far west, west"));
    assert_eq!(ask("reader", 42, "true"), success("contoso, contoso, west"));
    assert_eq!(ask("reader", 1, "0"), success("contoso, contoso, fabrikam, far west, top, west"));
    assert_eq!(ask("reader", 1, "1"), success("contoso, contoso, fabrikam, top"));
    assert_eq!(ask("contoso", 420, "true"), success("far west, west"));
    assert_eq!(ask("contoso", 1, "true"), ("ObjectEntityMismatch".to_owned(), String::new()));
    assert_eq!(ask("contoso", 43, "true"), ("ObjectEntityMismatch".to_owned(), String::new()));
    assert_eq!(ask("contoso", 0, "true"), ("InvalidInputParameters".to_owned(), String::new()));

    let empty = server.call("GetAssignedLicensesSummary", "reader", &summary(44, "true"));
    assert!(empty.body.contains("<UsersLicenses /><Result><Result>0<"), "an empty array: {}", empty.body);
    let refused = server.call("GetAssignedLicensesSummary", "reader", &summary(77, "true"));
    assert!(refused.body.contains("<GetAssignedLicensesSummaryResult><Result>"), "no array: {}", refused.body);
    let rows = server.call("GetAssignedLicensesSummary", "reader", &summary(43, "true"));
    assert!(
        rows.body.contains(
            "<UsersLicenses><UserLicenseSummary><Username>fabrikam</Username><LicenseType>ExchangeBackup</LicenseType>\
             </UserLicenseSummary></UsersLicenses><Result>"
        ),
        "{}",
        rows.body
    );
    let fault = server.call("GetAssignedLicensesSummary", "reader", &summary(42, "maybe"));
    assert_eq!(fault.status, 500);
    assert!(fault.body.contains("The string 'maybe' is not a valid Boolean value."), "{}", fault.body);
}

#[test]
fn a_long_summary_is_streamed_from_one_moment() {
    const HOLDERS: i64 = 20_000;
    let server = Server::start();
    server.sql(&format!(
        "UPDATE license_pool SET seats_total = {HOLDERS} WHERE id = 1;
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {HOLDERS})
             INSERT INTO account (id, username, entity_id) SELECT n, 'user' || n, 42 FROM n;
         UPDATE seat SET account_id = seat_no WHERE pool_id = 1;"
    ));
    let mut client = server.connect();
    let request = call11("GetAssignedLicensesSummary", "reader", &summary(42, "false"));
    std::io::Write::write_all(&mut client.0, &request).expect("send");
    // While it is being sent, somebody goes: the list is of one moment and still has everybody or all but that one.
    let admin = server.call("UnassignLicense", "admin", &holding("user19999", "SqlBackup"));
    assert_eq!(admin.code(), "Success");
    let answer = client.receive();
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(code(&answer), "Success");
    let holders = all(&answer, "Username").len() as i64;
    assert!(holders == HOLDERS || holders == HOLDERS - 1, "{holders}");
    assert!(answer.body.ends_with("</GetAssignedLicensesSummaryResponse></soap:Body></soap:Envelope>"));

    // One that goes away in the middle harms nobody.
    let mut rude = server.connect();
    std::io::Write::write_all(&mut rude.0, &request).expect("send");
    drop(rude);
    assert_eq!(client.send(&request).status, 200, "the connection can be used again");

    // HTTP/1.0 knows no chunks: the end of the connection is the end of the answer.
    let mut old = server.connect();
    let text = String::from_utf8(request).expect("text").replace("HTTP/1.1", "HTTP/1.0");
    std::io::Write::write_all(&mut old.0, text.as_bytes()).expect("send");
    let mut all_of_it = String::new();
    std::io::Read::read_to_string(&mut old.0, &mut all_of_it).expect("until the end");
    assert!(all_of_it.ends_with("</soap:Envelope>"), "{}", &all_of_it[all_of_it.len() - 100..]);
}

#[test]
fn a_seat_is_unassigned_by_an_admin_only() {
    let server = Server::start();
    server.sql(&format!(
        "INSERT INTO credential (user_name, password_hash, entity_id, role) VALUES ('boss', '{}', 42, 'admin');
         INSERT INTO account (id, username, entity_id) VALUES (1, 'theirs', 43);
         UPDATE seat SET account_id = 1 WHERE pool_id = 1 AND seat_no = 3;",
        *PASSWORD_HASH
    ));
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    let unassign =
        |user: &str, username: &str| server.call("UnassignLicense", user, &holding(username, "SqlBackup")).code();
    assert_eq!(unassign("agent", "bob"), "AccessDenied");
    assert_eq!(unassign("boss", "theirs"), "NotAssigned", "held, but not among the entities of the credential");
    assert_eq!(unassign("boss", "BOB"), "Success");
    assert_eq!(unassign("boss", "bob"), "NotAssigned");
    assert_eq!(server.call("UnassignLicense", "boss", "").code(), "InvalidInputParameters");
    let last: String =
        server.query("SELECT actor || ' ' || action || ' ' || username FROM audit_event ORDER BY id DESC LIMIT 1");
    assert_eq!(last, "boss release bob");
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    assert_eq!(server.violations(), []);
}

#[test]
fn a_transfer_moves_the_same_seat_in_one_step() {
    let server = Server::start();
    server.sql("INSERT INTO account (username, entity_id, active) VALUES ('closed', 42, 0), ('elsewhere', 9, 1)");
    assert_eq!(server.assign("bob", 42, "SqlBackup").code(), "Success");
    assert_eq!(server.assign("amy", 42, "SqlBackup").code(), "Success");
    let to = |user: &str, from: &str, to: &str| server.call("TransferLicense", user, &transfer(from, to)).code();
    assert_eq!(to("agent", "bob", "eve"), "AccessDenied");
    assert_eq!(to("admin", "nobody", "eve"), "NotAssigned");
    assert_eq!(to("admin", "bob", "amy"), "AlreadyExists");
    assert_eq!(to("admin", "bob", "bob"), "AlreadyExists");
    assert_eq!(to("admin", "bob", "closed"), "ObjectEntityMismatch");
    assert_eq!(to("admin", "bob", "elsewhere"), "ObjectEntityMismatch");
    assert_eq!(to("admin", "bob", ""), "InvalidInputParameters");
    let holders = || {
        let query = "SELECT seat_no, username FROM seat JOIN account ON account.id = account_id ORDER BY seat_no";
        server.database().lines(query).join(", ")
    };
    let before = holders();
    assert_eq!(to("admin", "Bob", "Eve"), "Success");
    assert_eq!(to("admin", "bob", "carl"), "NotAssigned");
    assert_eq!(holders(), before.replace("bob", "Eve"), "a new user is enrolled, the seat is the same");
    let events: String = server.query(
        "SELECT group_concat(action || ' ' || username, ', ') FROM audit_event
          WHERE request_id = (SELECT request_id FROM audit_event ORDER BY id DESC LIMIT 1)",
    );
    assert_eq!(events, "release bob, account-create Eve, assign Eve");
    server.sql("UPDATE license_pool SET expires_at = '2020-01-01T00:00:00Z' WHERE id = 1");
    assert_eq!(to("admin", "eve", "carl"), "LicenseExpired");
    assert_eq!(server.violations(), []);
}

#[test]
fn pools_are_told_with_their_high_water_mark() {
    let server = Server::start();
    server.sql(
        "INSERT INTO license_pool (id, entity_id, license_type, seats_total, starts_at, expires_at)
             VALUES (9000000000, 42, 'ExchangeBackup', 5, '2026-01-01T00:00:00Z', '2099-01-31T00:00:00Z');",
    );
    for user in ["a", "b", "c"] {
        assert_eq!(server.assign(user, 42, "SqlBackup").code(), "Success");
    }
    assert_eq!(server.call("UnassignLicense", "admin", &holding("b", "SqlBackup")).code(), "Success");
    server.database().wait_until_counted();
    let answer = server.call("GetLicensePools", "contoso", "<EntityId>42</EntityId>");
    assert!(
        answer.body.contains(
            "<Pools><LicensePool><PoolId>1</PoolId><LicenseType>SqlBackup</LicenseType><SeatsTotal>3</SeatsTotal>\
             <SeatsInUse>2</SeatsInUse><SeatsFree>1</SeatsFree><SeatsInUseMax>3</SeatsInUseMax>\
             <StartsAt xsi:nil=\"true\" /><ExpiresAt xsi:nil=\"true\" /></LicensePool>\
             <LicensePool><PoolId>9000000000</PoolId><LicenseType>ExchangeBackup</LicenseType><SeatsTotal>5</SeatsTotal>\
             <SeatsInUse>0</SeatsInUse><SeatsFree>5</SeatsFree><SeatsInUseMax>0</SeatsInUseMax>\
             <StartsAt>2026-01-01T00:00:00Z</StartsAt><ExpiresAt>2099-01-31T00:00:00Z</ExpiresAt></LicensePool></Pools><Result>"
        ),
        "{}",
        answer.body
    );
    assert_eq!(code(&server.call("GetLicensePools", "contoso", "<EntityId>43</EntityId>")), "ObjectEntityMismatch");
    assert_eq!(code(&server.call("GetLicensePools", "contoso", "")), "InvalidInputParameters");
}

fn item(username: &str, entity: i32) -> String {
    format!(
        "<AssignLicensesItem><Username>{username}</Username><LicenseProviderEntityId>{entity}</LicenseProviderEntityId>\
         <LicenseType>SqlBackup</LicenseType></AssignLicensesItem>"
    )
}

#[test]
fn many_licenses_are_assigned_with_a_result_for_each() {
    let server = Server::start();
    let items =
        [("a", 42), ("A", 42), ("b", 77), ("c", 42), ("", 42), ("d", 42), ("e", 42)].map(|(u, e)| item(u, e)).concat();
    let fields = |dry_run: bool| format!("<Items>{items}</Items><DryRun>{dry_run}</DryRun>");
    let expected = [
        "Success",
        "AlreadyExists",
        "ObjectEntityMismatch",
        "Success",
        "InvalidInputParameters",
        "Success",
        "NoFreeSeat",
        "AlreadyExists",
    ];
    let dry = server.call("AssignLicenses", "agent", &fields(true));
    assert_eq!(all(&dry, "Code"), expected, "one for each item, then the whole");
    assert_eq!(all(&dry, "Username"), ["a", "A", "b", "c", "d", "e"], "the empty one is empty");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM account"), 0, "a dry run changes nothing");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM audit_event WHERE action = 'assign'"), 0);

    let real = server.call("AssignLicenses", "agent", &fields(false));
    assert_eq!(all(&real, "Code"), expected, "as the dry run said");
    let whole = all(&real, "Message").pop().expect("a message");
    assert!(whole.contains("item 2 of 7, 4 refused: User 'A' already holds"), "{whole}");
    assert_eq!(server.query::<i64>("SELECT count(*) FROM seat WHERE account_id IS NOT NULL"), 3);

    assert_eq!(code(&server.call("AssignLicenses", "reader", &fields(false))), "AccessDenied");
    assert_eq!(code(&server.call("AssignLicenses", "agent", "<Items /><DryRun>0</DryRun>")), "InvalidInputParameters");
    // Items under another name, or in another namespace, are none.
    for items in ["<Items />", "<Items><Item /></Items>", "<Items xmlns=\"\"><AssignLicensesItem /></Items>", ""] {
        let message = server.call("AssignLicenses", "agent", items).message();
        assert!(message.contains("Items is missing or has no items. Send it inside the request element"), "{message}");
    }
    let many = format!("<Items>{}</Items>", "<AssignLicensesItem />".repeat(1001));
    let answer = server.call("AssignLicenses", "agent", &many);
    assert_eq!(code(&answer), "InvalidInputParameters");
    assert!(answer.message().contains("Items holds 1001 items; 1000 are accepted in one call"), "{}", answer.message());
    assert_eq!(server.violations(), []);
}

#[test]
fn no_operation_works_without_credentials() {
    let server = Server::start();
    for operation in seatkeeper::asmx::CONTRACT.operations {
        let body = format!("<{0} xmlns=\"sosonlinebackup.com\"><request /></{0}>", operation.name);
        for header in [String::new(), auth_header("agent", "wrong"), auth_header("nobody", "x")] {
            let answer = server.send(&post("Content-Type: text/xml\r\n", envelope11(&header, &body).as_bytes()));
            assert_eq!(code(&answer), "InvalidSoapCredentials", "{}", operation.name);
        }
        // No request at all, by SOAPAction.
        let action = format!("Content-Type: text/xml\r\nSOAPAction: sosonlinebackup.com/{}\r\n", operation.name);
        let answer = server.send(&post(&action, envelope11(&auth_header("admin", PASSWORD), "").as_bytes()));
        assert_eq!(code(&answer), "InvalidInputParameters", "{}", operation.name);
    }
}
