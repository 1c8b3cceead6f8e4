//! Walks through the pages: what an administrator does, as steps that a reader can follow, in `tests/walks`. A walk is taken by keyboard
//! alone, with scripts turned off, or on a phone.
//!
//! A line of a walk is a step; `$name` in it stands for a text that was kept, `\n` for a line break:
//!
//! ```text
//! open PATH               go to an address
//! press LABEL             a link or button, by its text; leads to another page
//! fill LABEL = TEXT       a field, by its label
//! choose LABEL = OPTION   an option of a list
//! tick LABEL              a box; once more: not ticked
//! see TEXT                waits until the page has it
//! miss TEXT               the page does not have it
//! at PATH                 the address begins with it
//! keep NAME = CSS         keeps the text of an element
//! file LABEL has TEXT     what a link to a file leads to
//! sql STATEMENT           the database changes meanwhile
//! unguarded STATEMENT     likewise, in a way that no administrator can
//! holds VALUE = QUERY     the database has it
//! refused USER ENTITY TYPE  a call is refused; keeps its id as $error
//! back, reload            the buttons of the browser
//! window NAME             another browser, that of another administrator
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::*;
use crate::window::Window;

/// How a walk is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing but keys, in a window of 1280 pixels.
    Keyboard,
    /// Scripts of pages do not run.
    NoScript,
    /// 375 pixels wide.
    Phone,
}

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const SHIFT: char = '\u{e008}';
const CONTROL: char = '\u{e009}';
const DELETE: char = '\u{e017}';

/// Presses of Tab after which a walk gives up.
const TABS_MAX: usize = 300;

/// Longer than a list takes keys for one search: a second.
const SEARCH_PAUSE: Duration = Duration::from_millis(1200);

/// Clicks on one element, all but the last of which the browser has dropped.
const CLICKS_MAX: usize = 3;

/// Finds what a person means by a label. `window.target` is it then.
const FIND: &str = r"
const [kind, label] = arguments;
const norm = text => (text || '').replace(/\s+/g, ' ').trim();
const seen = e => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden';
const bare = e => { const c = e.cloneNode(true); c.querySelectorAll('select, input, textarea, .soft').forEach(x => x.remove()); return norm(c.textContent); };
let found = [];
if (kind === 'press') {
    for (const scope of ['main', 'body'])
        found = found.concat([...document.querySelectorAll(scope + ' :is(a, button, summary)')].filter(e => seen(e) && norm(e.innerText) === label));
} else {
    found = [...document.querySelectorAll('main label')].filter(e => seen(e) && bare(e) === label).map(e => e.control).filter(Boolean);
    found = found.concat([...document.querySelectorAll('main :is(input, select, textarea)')].filter(e => e.getAttribute('aria-label') === label));
}
window.target = found[0];
return found.length;
";

/// Waits until something is so; whether it came to that within [`LONG`].
fn comes(is_so: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > LONG {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

pub struct Walker<'s> {
    server: &'s Server,
    way: Way,
    windows: HashMap<String, Window>,
    current: String,
    kept: HashMap<String, String>,
    place: String,
}

impl<'s> Walker<'s> {
    pub fn new(server: &'s Server, way: Way, window: Window) -> Walker<'s> {
        let kept = HashMap::from([("password".to_owned(), PASSWORD.to_owned())]);
        let windows = HashMap::from([(String::new(), window)]);
        Walker { server, way, windows, current: String::new(), kept, place: String::new() }
    }

    pub fn open_window(way: Way) -> Window {
        let window = match way {
            Way::Phone => Window::open(375, 812),
            Way::Keyboard | Way::NoScript => Window::open(1280, 900),
        };
        match way {
            Way::NoScript => window.without_scripts(),
            Way::Keyboard => window.color("dark"),
            Way::Phone => window.color("light"),
        }
        window
    }

    /// Takes a walk of `tests/walks`; gives the window back for the next one.
    pub fn walk(mut self, name: &str) -> Window {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/walks").join(format!("{name}.walk"));
        let steps = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for (at, step) in steps.lines().enumerate() {
            let step = step.trim();
            if !step.is_empty() && !step.starts_with('#') {
                self.place = format!("{name}.walk:{}: {step} ({:?})", at + 1, self.way);
                let step = self.expanded(step);
                self.step(&step);
            }
        }
        self.windows.remove("").expect("the first window")
    }

    fn window(&self) -> &Window {
        &self.windows[&self.current]
    }

    fn expanded(&self, step: &str) -> String {
        let mut step = step.replace("\\n", "\n");
        for (name, text) in &self.kept {
            step = step.replace(&format!("${name}"), text);
        }
        step
    }

    fn fail(&self, why: &str) -> ! {
        let page = self.window().evaluate("location.href + '\\n' + document.body.innerText");
        self.window().screenshot("failed-walk");
        panic!("{}\n{why}\n--- the page:\n{}", self.place, page.as_str().unwrap_or_default());
    }

    fn step(&mut self, step: &str) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let pair = |by: &str| rest.split_once(by).map(|(left, right)| (left.trim(), right.trim()));
        let (left, right) = pair(" = ").unwrap_or((rest, ""));
        match verb {
            "open" => {
                self.window().go(&format!("http://{}{rest}", self.server.address));
                self.arrived();
            }
            "press" => self.press(rest),
            "fill" => self.fill(left, right),
            "choose" => self.choose(left, right),
            "tick" => self.tick(rest),
            "see" => {
                if !self.wait_for(rest) {
                    self.fail("is not there");
                }
            }
            "miss" => {
                if self.has(rest) {
                    self.fail("is there");
                }
            }
            "at" => {
                let path = self.window().evaluate("location.pathname + location.search");
                if !path.as_str().unwrap_or_default().starts_with(rest) {
                    self.fail("is another address");
                }
            }
            "keep" => {
                let text = self.window().text(right);
                self.kept.insert(left.to_owned(), text.trim().to_owned());
            }
            "file" => {
                let (label, text) = pair(" has ").unwrap_or_else(|| self.fail("file LABEL has TEXT"));
                self.file(label, text);
            }
            "sql" => self.server.sql(rest),
            "unguarded" => self.server.unguarded(rest),
            "holds" => {
                let (value, query) = (left, right);
                let lines = self.server.database().lines(query).join("; ");
                if lines != value {
                    self.fail(&format!("the database has {lines:?}"));
                }
            }
            "refused" => self.refused(rest),
            "back" => {
                self.window().navigate("back");
                self.arrived();
            }
            "reload" => {
                self.window().navigate("refresh");
                self.arrived();
            }
            "window" => {
                if !self.windows.contains_key(rest) {
                    self.windows.insert(rest.to_owned(), Walker::open_window(self.way));
                }
                self.current = if rest == "first" { String::new() } else { rest.to_owned() };
            }
            _ => self.fail("is no step"),
        }
    }

    fn has(&self, text: &str) -> bool {
        let script = "const norm = t => t.replace(/\\s+/g, ' '); return norm(document.body.innerText).includes(norm(arguments[0]));";
        self.window().run(script, json!([text])) == json!(true)
    }

    fn wait_for(&self, text: &str) -> bool {
        comes(|| self.has(text))
    }

    /// What holds on every page that a walk comes to.
    fn arrived(&self) {
        let out = self.window().sticking_out();
        if !out.is_empty() {
            self.fail(&format!("sticks out: {out}"));
        }
        let complaints = self.window().complaints();
        if !complaints.is_empty() {
            self.fail(&format!("the browser complains: {complaints:?}"));
        }
        // Also of previews, receipts and refusals, which have no address to go to: light on a phone, dark by keyboard.
        if self.way != Way::NoScript {
            let found = self.window().axe();
            if !found.is_empty() {
                self.fail(&format!("axe finds: {found}"));
            }
        }
    }

    fn find(&self, kind: &str, label: &str) {
        // An error of the browser is no number.
        let found = || self.window().run(FIND, json!([kind, label])).as_f64().unwrap_or_default();
        if !comes(|| found() > 0.0) {
            self.fail("there is no such thing on the page");
        }
    }

    fn press(&self, label: &str) {
        self.find("press", label);
        let window = self.window();
        // Without the mark this page would be taken for the next one.
        if !window.wait("(window.stays = true)") {
            self.fail("cannot be marked");
        }
        if self.way == Way::Keyboard {
            self.tab_to();
            window.keys(&[ENTER]);
        } else {
            self.click();
        }
        if !window.wait("window.stays !== true && document.readyState === 'complete'") {
            self.fail("leads nowhere");
        }
        self.arrived();
    }

    /// Clicks where the target is, once it is in sight. A click gives it the focus or leads to another page, where there is no target; a busy
    /// browser may drop one on a page that it has not painted yet.
    fn click(&self) {
        let mark = "document.querySelectorAll('[data-walk]').forEach(e => e.removeAttribute('data-walk')); window.target.setAttribute('data-walk', '')";
        for _ in 0..CLICKS_MAX {
            self.window().evaluate(&format!("(() => {{ {mark} }})()"));
            self.window().click("[data-walk]");
            let is_dropped = self.window().evaluate("!!window.target && document.activeElement !== window.target");
            if is_dropped != json!(true) {
                return;
            }
            eprintln!("{}: the click was dropped", self.place);
        }
    }

    /// Moves the focus to the target as a person does: over the link that skips the navigation, then by Tab, forward or back.
    fn tab_to(&self) {
        let window = self.window();
        if window.evaluate("document.activeElement === document.body && !!window.target.closest('main') && !!document.querySelector('.skip')") == json!(true) {
            window.keys(&[TAB, ENTER]);
        }
        for _ in 0..TABS_MAX {
            let state = window.evaluate(
                "window.target === document.activeElement ? 'there' : \
                 (window.target.compareDocumentPosition(document.activeElement) & 4) && document.activeElement !== document.body ? 'back' : 'on'",
            );
            match state.as_str() {
                Some("there") => {
                    // The focus is seen.
                    let outline = window.evaluate("getComputedStyle(window.target).outlineStyle");
                    if outline == json!("none") {
                        self.fail("the focus is not to be seen");
                    }
                    return;
                }
                Some("back") => window.chord(SHIFT, TAB),
                _ => window.keys(&[TAB]),
            }
        }
        self.fail("is not reached by Tab");
    }

    fn fill(&self, label: &str, text: &str) {
        self.find("field", label);
        let window = self.window();
        if self.way == Way::Keyboard {
            self.tab_to();
            window.chord(CONTROL, 'a');
            window.keys(&[DELETE]);
            let keys: Vec<char> = text.chars().map(|c| if c == '\n' { ENTER } else { c }).collect();
            window.keys(&keys);
        } else {
            window.evaluate("(() => { window.target.value = '' })()");
            self.click();
            if !text.is_empty() {
                window.fill_in("[data-walk]", text);
            }
        }
        let value = window.evaluate("window.target.value");
        if value != json!(text) {
            self.fail(&format!("the field has {value}"));
        }
    }

    fn choose(&self, label: &str, option: &str) {
        self.find("field", label);
        let window = self.window();
        let chosen = || window.evaluate("window.target.selectedOptions[0].label");
        if self.way == Way::Keyboard {
            self.tab_to();
            // A key that comes a second after the last one begins another search in the list; so does a person.
            let keys: Vec<char> = option.chars().collect();
            window.keys(&keys);
            if chosen() != json!(option) {
                std::thread::sleep(SEARCH_PAUSE);
                window.keys(&keys);
            }
        } else {
            let script =
                "const o = [...window.target.options].find(o => o.label === arguments[0]); if (o) o.selected = true;";
            window.run(script, json!([option]));
        }
        let chosen = chosen();
        if chosen != json!(option) {
            self.fail(&format!("chosen is {chosen}"));
        }
    }

    fn tick(&self, label: &str) {
        self.find("field", label);
        let before = self.window().evaluate("window.target.checked");
        if self.way == Way::Keyboard {
            self.tab_to();
            self.window().keys(&[' ']);
        } else {
            self.click();
        }
        if self.window().evaluate("window.target.checked") == before {
            self.fail("the box is as it was");
        }
    }

    /// Fetches what a link leads to with the cookie of the window. A download is a thing of the browser, not of the page.
    fn file(&self, label: &str, text: &str) {
        self.find("press", label);
        let target = self.window().evaluate("(u => u.pathname + u.search)(new URL(window.target.href))");
        let cookie = self.window().cookie("seatkeeper_session");
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nCookie: seatkeeper_session={cookie}\r\n\r\n",
            target.as_str().unwrap_or_default(),
            self.server.address
        );
        let file = self.server.send(request.as_bytes());
        if file.status != 200 || !file.body.contains(text) || file.header("content-disposition").is_none() {
            self.fail(&format!("the file is {file:?}"));
        }
    }

    /// A SOAP call that is refused, and noted.
    fn refused(&mut self, arguments: &str) {
        let [user, entity, license_type] = arguments.split(' ').collect::<Vec<_>>()[..] else {
            self.fail("refused USER ENTITY TYPE")
        };
        let answer = self.server.assign(user, entity.parse().expect("a number"), license_type);
        let id = answer
            .body
            .find("Err-")
            .map(|at| answer.body[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect());
        let id: String = id.unwrap_or_else(|| self.fail(&format!("the call was not refused: {}", answer.body)));
        wait_until("the refusal is noted", || self.server.query::<i64>("SELECT count(*) FROM refusal") > 0);
        self.kept.insert("error".to_owned(), id);
    }
}
