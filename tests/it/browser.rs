//! The pages for developers in a real browser: the operations and their test form.

use serde_json::json;

use crate::harness::*;
use crate::window::Window;

#[test]
fn the_test_form_is_filled_in_and_sent_in_a_browser() {
    let server = Server::start();
    let browser = Window::open(1200, 900);
    browser.go(&format!("http://{}{PATH}", server.address));
    assert_eq!(browser.text("h1"), "LicenseManagementService");
    browser.screenshot("overview");
    browser.click(".operations a");
    assert_eq!(browser.text("h2"), "AssignLicense");
    let send = |username: &str, version: &str| {
        browser.go(&format!("http://{}{PATH}?op=AssignLicense", server.address));
        browser.fill_in("#UserName", "agent");
        browser.fill_in("#Password", PASSWORD);
        browser.fill_in("#Username", username);
        browser.fill_in("#LicenseProviderEntityId", "42");
        browser.click("#LicenseType option:nth-child(2)");
        browser.click(&format!("#SOAP option:nth-child({version})"));
        browser.click("button");
    };
    send("browser & co", "1");
    assert!(browser.text("#request").contains("<Username>browser &amp; co</Username>"));
    assert!(browser.text("#response").contains("<Code>Success</Code>"), "{}", browser.text("#response"));
    assert!(browser.text("#response").contains("http://schemas.xmlsoap.org/soap/envelope/"));
    browser.screenshot("test-form-sent");
    send("browser & co", "2");
    assert!(browser.text("#response").contains("<Code>AlreadyExists</Code>"), "{}", browser.text("#response"));
    assert!(browser.text("#response").contains("http://www.w3.org/2003/05/soap-envelope"));
    assert_eq!(server.query::<String>("SELECT username FROM account"), "browser & co");
}

#[test]
fn the_pages_fit_on_a_phone() {
    let server = Server::start();
    let browser = Window::open(390, 844);
    for (name, query) in [
        ("phone-overview", ""),
        ("phone-operation", "?op=AssignLicense"),
        ("phone-arrays", "?op=AssignLicenses"),
        ("phone-unknown", "?op=Nope"),
    ] {
        browser.go(&format!("http://{}{PATH}{query}", server.address));
        browser.screenshot(name);
        assert_eq!(browser.sticking_out(), "", "{name}");
    }
}

#[test]
fn the_browser_loads_the_style_and_reports_nothing_against_the_policy() {
    let server = Server::start();
    let browser = Window::open(1200, 900);
    browser.go(&format!("http://{}{PATH}", server.address));
    assert_eq!(browser.evaluate("document.styleSheets[0].cssRules.length > 5"), json!(true));
    let refused = browser.evaluate("performance.getEntriesByType('resource').map(r => r.name.split('/').pop())");
    assert_eq!(refused, json!(["LicenseManagementService.asmx?style"]), "nothing else is fetched");
}

/// What a page of each of two origins gets to see when one of them is listed. A preflight comes before each call, because
/// of its headers.
#[test]
fn a_page_of_a_listed_origin_calls_the_web_api() {
    let listed = Server::start();
    let other = Server::start();
    let origins: &'static str = format!("http://{}", listed.address).leak();
    let api = Server::with(Options { seed: owners_data(), cors_origins: origins, ..Options::default() });
    let browser = Window::open(1200, 900);
    let call = |method: &str, path: &str, body: &str| {
        browser.evaluate(&format!(
            "fetch('http://{}/api/v1/License/{path}', {{method: '{method}', body: {body}, headers: \
             {{'Authorization': 'Basic ' + btoa('admin:{PASSWORD}'), 'SO-TimeZone': 'NO', 'Content-Type': 'application/json'}}}}) \
             .then(async r => [r.status, r.headers.get('so-timezone'), (await r.text()).length > 10].join(), e => e.name)",
            api.address
        ))
    };
    let names = "JSON.stringify(['SQLBACKUP'])";
    browser.go(&format!("http://{}/healthz", listed.address));
    assert_eq!(call("GET", "CONTOSO", "null"), "200,NO,true");
    assert_eq!(call("PUT", "CONTOSO/101", names), "200,NO,true");
    assert_eq!(call("GET", "NOBODY", "null"), "404,NO,true");
    browser.go(&format!("http://{}/healthz", other.address));
    assert_eq!(call("GET", "CONTOSO", "null"), "TypeError");
    // Its preflight kept the call from being made at all.
    assert_eq!(call("DELETE", "CONTOSO/101", names), "TypeError");
    assert_eq!(api.query::<i64>("SELECT count(*) FROM seat WHERE account_id = 101"), 1);
}
