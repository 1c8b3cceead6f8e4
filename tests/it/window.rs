//! A window of Chromium, driven over the WebDriver protocol. Screenshots are left in `target/test-screenshots` for people who want to look.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::*;

/// A browser window. Closed on drop.
pub struct Window {
    driver: Child,
    address: std::net::SocketAddr,
    session: String,
    _profile: TempDir,
}

fn start_driver() -> Option<(Child, u16)> {
    let mut command = Command::new("chromedriver");
    // The browser asks for pages in the language of the system: without one that is English.
    for name in ["LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"] {
        command.env_remove(name);
    }
    let mut driver = command
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

/// The directory for a browser's profile, in memory if there is much of that: a browser that waits for a busy disk is late with a page.
fn profile() -> TempDir {
    const ROOM_MIN: u64 = 1024 * 1024 * 1024;
    let room = rustix::fs::statvfs("/dev/shm").map_or(0, |memory| memory.f_bavail.saturating_mul(memory.f_frsize));
    if room < ROOM_MIN { TempDir::new() } else { TempDir::in_memory() }
}

/// The key of an element in an answer: WebDriver specification §12.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Window {
    pub fn open(width: u32, height: u32) -> Window {
        // It needs one port for IPv4 and IPv6 and ends if the one it drew is taken for either: then it draws again.
        let (driver, port) = (0..10).find_map(|_| start_driver()).expect("chromedriver names its port");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut window = Window { driver, address, session: String::new(), _profile: profile() };
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
        ];
        // A browser that does not come up is no fault of a page: it is started again, with a profile of its own.
        let mut opened = Value::Null;
        for profile in ["profile", "profile-2", "profile-3"] {
            let profile = format!("--user-data-dir={}", window._profile.join(profile).display());
            let arguments: Vec<&String> = arguments.iter().chain([&profile]).collect();
            let capabilities =
                json!({"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "WARNING"}});
            opened = window.request("POST", "/session", &json!({"capabilities": {"alwaysMatch": capabilities}}));
            if opened["sessionId"].is_string() {
                break;
            }
        }
        window.session = opened["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {opened}")).to_owned();
        // A click that sends a form may return before the next page is there: elements are waited for. Scripts: less than an answer is
        // waited for.
        window.command("POST", "/timeouts", json!({"implicit": 20_000, "script": 50_000}));
        window.resize(width, height);
        window
    }

    /// The window as a device of this size has it. A real window is never narrower than 500 pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// From now on pages ask for this language.
    pub fn speak(&self, language: &str) {
        self.devtools("Network.enable", json!({}));
        self.devtools("Network.setExtraHTTPHeaders", json!({"headers": {"Accept-Language": language}}));
    }

    /// `dark` or `light`, as the system would be set.
    pub fn color(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Turns the scripts of pages off. What a test evaluates still runs.
    pub fn without_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    }

    /// A command of the DevTools protocol.
    fn devtools(&self, command: &str, parameters: Value) {
        self.command("POST", "/goog/cdp/execute", json!({"cmd": command, "params": parameters}));
    }

    pub fn go(&self, url: &str) {
        self.command("POST", "/url", json!({"url": url}));
    }

    /// The buttons of the browser: `back`, `forward`, `refresh`.
    pub fn navigate(&self, button: &str) {
        self.command("POST", &format!("/{button}"), json!({}));
    }

    /// Text of the first element that matches a CSS selector, as a reader sees it.
    pub fn text(&self, css: &str) -> String {
        let answer = self.command("GET", &format!("/element/{}/text", self.element(css)), json!(null));
        answer.as_str().unwrap_or_else(|| panic!("{css}: {answer}")).to_owned()
    }

    pub fn fill_in(&self, css: &str, text: &str) {
        self.command("POST", &format!("/element/{}/value", self.element(css)), json!({"text": text}));
    }

    /// Clicks the first element that matches a CSS selector, once the browser can: with these errors it says that it has not clicked. Others
    /// may come after a click, when it leads to another page.
    pub fn click(&self, css: &str) {
        const NOT_CLICKED: [&str; 2] = ["element click intercepted", "element not interactable"];
        let begun = Instant::now();
        loop {
            let answer = self.command("POST", &format!("/element/{}/click", self.element(css)), json!({}));
            let is_early = answer["error"].as_str().is_some_and(|error| NOT_CLICKED.contains(&error));
            if !is_early || begun.elapsed() > LONG {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The value of a script's expression.
    pub fn evaluate(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), json!([]))
    }

    /// Runs a script. A promise is waited for.
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        self.command("POST", "/execute/sync", json!({"script": script, "args": arguments}))
    }

    /// Presses and releases each of these keys. Those without a letter have the numbers of WebDriver §17.4.2.
    pub fn keys(&self, keys: &[char]) {
        let steps: Vec<Value> = keys
            .iter()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.actions(&steps);
    }

    /// Holds a key while another is pressed.
    pub fn chord(&self, held: char, key: char) {
        self.actions(&[
            json!({"type": "keyDown", "value": held}),
            json!({"type": "keyDown", "value": key}),
            json!({"type": "keyUp", "value": key}),
            json!({"type": "keyUp", "value": held}),
        ]);
    }

    fn actions(&self, steps: &[Value]) {
        self.command("POST", "/actions", json!({"actions": [{"type": "key", "id": "keys", "actions": steps}]}));
    }

    /// The value of a cookie, also of one that scripts do not see.
    pub fn cookie(&self, name: &str) -> String {
        let cookie = self.command("GET", &format!("/cookie/{name}"), json!(null));
        cookie["value"].as_str().unwrap_or_else(|| panic!("no cookie {name}: {cookie}")).to_owned()
    }

    /// What the browser complained of since it was last asked: faults of scripts, and what the policy of the page has stopped. That a page
    /// has a status of an error is no complaint.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", json!({"type": "browser"}));
        let messages = entries.as_array().into_iter().flatten().filter_map(|entry| entry["message"].as_str());
        messages.filter(|message| !message.contains("Failed to load resource")).map(str::to_owned).collect()
    }

    pub fn screenshot(&self, name: &str) -> PathBuf {
        use base64::Engine as _;
        let picture = self.command("GET", "/screenshot", json!(null));
        let png = picture.as_str().expect("a picture");
        let png = base64::engine::general_purpose::STANDARD.decode(png).expect("base64");
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-screenshots");
        std::fs::create_dir_all(&directory).expect("directory");
        let file = directory.join(format!("{name}.png"));
        std::fs::write(&file, png).expect("write");
        file
    }

    /// What sticks out to the right: a reader on a phone scrolls down only. Nothing: the page fits.
    pub fn sticking_out(&self) -> String {
        let found = self.evaluate(
            "document.documentElement.scrollWidth <= window.innerWidth ? '' : \
             window.innerWidth + ' < ' + document.documentElement.scrollWidth + ': ' + [...document.querySelectorAll('body *')] \
             .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest('.scroll')).slice(0, 5) \
             .map(e => e.outerHTML.slice(0, 120)).join(' | ')",
        );
        found.as_str().unwrap_or_default().to_owned()
    }

    /// What axe finds on the page: rule, impact and the first nodes of each violation. Nothing: the page is accessible, as far as a program
    /// can see.
    pub fn axe(&self) -> String {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/node/node_modules/axe-core/axe.min.js");
        let axe =
            std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}. Run tests/install", file.display()));
        self.run(&format!("{axe}\n;document.querySelectorAll('details').forEach(d => d.open = true)"), json!([]));
        let found = self.run(
            "return axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => \
             [v.id, v.impact, v.nodes.length, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + (n.any[0] || n.all[0] || n.none[0] || {}).message)]))",
            json!([]),
        );
        let mut text = String::new();
        for violation in found.as_array().unwrap_or_else(|| panic!("axe: {found}")) {
            writeln!(text, "{violation}").expect("writing to a string");
        }
        text
    }

    /// Waits until an expression is true.
    pub fn wait(&self, expression: &str) -> bool {
        let begun = Instant::now();
        while self.evaluate(expression) != json!(true) {
            if begun.elapsed() > LONG {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn element(&self, css: &str) -> String {
        let answer = self.command("POST", "/element", json!({"using": "css selector", "value": css}));
        answer[ELEMENT].as_str().unwrap_or_else(|| panic!("no element {css}: {answer}")).to_owned()
    }

    fn command(&self, method: &str, path: &str, body: Value) -> Value {
        self.request(method, &format!("/session/{}{path}", self.session), &body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = Client::to(self.address).send(request.as_bytes()).body;
        let mut answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{path}: {e}: {answer}"));
        let value = answer["value"].take();
        // Many errors are no fault: a page may be left while a script asks about it. If the test fails, they may say why.
        if let (Some(error), Some(message)) = (value["error"].as_str(), value["message"].as_str()) {
            let path = path.split_once(&self.session).map_or(path, |(_, path)| path);
            eprintln!("WebDriver: {method} {path}: {error}: {}", message.lines().next().unwrap_or_default());
        }
        value
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", "", json!(null));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
