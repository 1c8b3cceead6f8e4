//! The pages in a real browser: Chromium, driven over the WebDriver protocol. Screenshots are left in
//! `target/test-screenshots` for whoever wants to look.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::*;

/// A browser window. Closed on drop.
struct Browser {
    driver: Child,
    address: std::net::SocketAddr,
    session: String,
    _profile: TempDir,
}

fn start_driver() -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("chromedriver: {e}. Run tests/install"));
    let mut lines = BufReader::new(driver.stdout.take().expect("stdout")).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    // Its pipe must not fill up.
    std::thread::spawn(move || lines.for_each(drop));
    if port.is_none() {
        let _ = driver.wait();
    }
    Some((driver, port?))
}

impl Browser {
    fn open(width: u32, height: u32) -> Browser {
        // It needs one port for IPv4 and IPv6 and ends if the one it drew is taken for either: then it draws again.
        let (driver, port) = (0..10).find_map(|_| start_driver()).expect("chromedriver names its port");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let profile = TempDir::new();
        let mut browser = Browser { driver, address, session: String::new(), _profile: profile };
        let arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--window-size={width},{height}"),
            &format!("--user-data-dir={}", browser._profile.join("profile").display()),
        ]
        .map(|a| format!("\"{a}\""))
        .into();
        // A window is never narrower than 500 pixels; a phone has to be emulated.
        let emulated = format!(
            ",\"mobileEmulation\":{{\"deviceMetrics\":{{\"width\":{width},\"height\":{height},\"pixelRatio\":2}}}}"
        );
        let body = format!(
            "{{\"capabilities\":{{\"alwaysMatch\":{{\"goog:chromeOptions\":{{\"args\":[{}]{}}}}}}}}}",
            arguments.join(","),
            if width < 500 { emulated } else { String::new() }
        );
        let opened = browser.request("POST", "/session", &body);
        browser.session = string(&opened, "sessionId").unwrap_or_else(|| panic!("no session: {opened}"));
        // A click that sends a form may return before the next page is there: elements are waited for.
        browser.command("POST", "/timeouts", "{\"implicit\":20000}");
        browser
    }

    fn go(&self, url: &str) {
        self.command("POST", "/url", &format!("{{\"url\":\"{url}\"}}"));
    }

    /// Text of the first element that matches a CSS selector, as a reader sees it.
    fn text(&self, css: &str) -> String {
        let answer = self.command("GET", &format!("/element/{}/text", self.element(css)), "");
        string(&answer, "value").unwrap_or_else(|| panic!("{css}: {answer}"))
    }

    fn fill_in(&self, css: &str, text: &str) {
        self.command("POST", &format!("/element/{}/value", self.element(css)), &format!("{{\"text\":\"{text}\"}}"));
    }

    fn click(&self, css: &str) {
        self.command("POST", &format!("/element/{}/click", self.element(css)), "{}");
    }

    /// The value of a script's expression, as JSON.
    fn evaluate(&self, expression: &str) -> String {
        self.command("POST", "/execute/sync", &format!("{{\"script\":\"return {expression}\",\"args\":[]}}"))
    }

    fn screenshot(&self, name: &str) {
        use base64::Engine as _;
        let answer = self.command("GET", "/screenshot", "");
        let png = string(&answer, "value").expect("a picture");
        let png = base64::engine::general_purpose::STANDARD.decode(png).expect("base64");
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-screenshots");
        std::fs::create_dir_all(&directory).expect("directory");
        std::fs::write(directory.join(format!("{name}.png")), png).expect("write");
    }

    fn element(&self, css: &str) -> String {
        let css_json = css.replace('"', "\\\"");
        let answer =
            self.command("POST", "/element", &format!("{{\"using\":\"css selector\",\"value\":\"{css_json}\"}}"));
        // The key is fixed by the WebDriver specification §12.
        string(&answer, "element-6066-11e4-a52e-4f735466cecf").unwrap_or_else(|| panic!("no element {css}: {answer}"))
    }

    fn command(&self, method: &str, path: &str, body: &str) -> String {
        self.request(method, &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        Client::to(self.address).send(request.as_bytes()).body
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.command("DELETE", "", "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The first string value of this key in a JSON text.
fn string(json: &str, key: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{key}\":\""))?;
    let mut out = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    out.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}

/// Nothing sticks out to the right: a reader on a phone scrolls down only.
fn fits(browser: &Browser) -> bool {
    browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth") == "{\"value\":true}"
}

#[test]
fn the_test_form_is_filled_in_and_sent_in_a_browser() {
    let server = Server::start();
    let browser = Browser::open(1200, 900);
    browser.go(&format!("http://{}/", server.address));
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
    let browser = Browser::open(390, 844);
    for (name, query) in [
        ("phone-overview", ""),
        ("phone-operation", "?op=AssignLicense"),
        ("phone-arrays", "?op=AssignLicenses"),
        ("phone-unknown", "?op=Nope"),
    ] {
        browser.go(&format!("http://{}{PATH}{query}", server.address));
        browser.screenshot(name);
        assert!(fits(&browser), "{name}");
    }
}

#[test]
fn the_browser_loads_the_style_and_reports_nothing_against_the_policy() {
    let server = Server::start();
    let browser = Browser::open(1200, 900);
    browser.go(&format!("http://{}{PATH}", server.address));
    assert_eq!(browser.evaluate("document.styleSheets[0].cssRules.length > 5"), "{\"value\":true}");
    let refused = browser.evaluate("performance.getEntriesByType('resource').map(r => r.name.split('/').pop())");
    assert_eq!(refused, "{\"value\":[\"LicenseManagementService.asmx?style\"]}", "nothing else is fetched");
}

/// What a page of each of two origins gets to see when one of them is listed. A preflight comes before each call, because
/// of its headers.
#[test]
fn a_page_of_a_listed_origin_calls_the_web_api() {
    let listed = Server::start();
    let other = Server::start();
    let origins: &'static str = format!("http://{}", listed.address).leak();
    let api = Server::with(Options { seed: owners_data(), cors_origins: origins, ..Options::default() });
    let browser = Browser::open(1200, 900);
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
    assert_eq!(call("GET", "CONTOSO", "null"), "{\"value\":\"200,NO,true\"}");
    assert_eq!(call("PUT", "CONTOSO/101", names), "{\"value\":\"200,NO,true\"}");
    assert_eq!(call("GET", "NOBODY", "null"), "{\"value\":\"404,NO,true\"}");
    browser.go(&format!("http://{}/healthz", other.address));
    assert_eq!(call("GET", "CONTOSO", "null"), "{\"value\":\"TypeError\"}");
    // Its preflight kept the call from being made at all.
    assert_eq!(call("DELETE", "CONTOSO/101", names), "{\"value\":\"TypeError\"}");
    assert_eq!(api.query::<i64>("SELECT count(*) FROM seat WHERE account_id = 101"), 1);
}
