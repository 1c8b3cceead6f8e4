//! Writing XML: answers, WSDL and sample messages all come from this writer.

/// Builds a document in memory. Names come from this program and are written unchanged; text and attribute values are escaped.
#[derive(Debug)]
pub struct Writer {
    out: String,
    open: Vec<Open>,
    indent: bool,
}

#[derive(Debug)]
struct Open {
    name: &'static str,
    /// Whether the start tag still lacks its `>`.
    in_tag: bool,
    has_children: bool,
}

impl Writer {
    /// A document without white space between elements, as messages are sent.
    pub fn compact() -> Writer {
        let mut out = String::with_capacity(MESSAGE_BYTES);
        out.push_str(DECLARATION);
        Writer { out, open: Vec::with_capacity(MESSAGE_DEPTH), indent: false }
    }

    /// A document for people: one element per line, two spaces per level.
    pub fn indented() -> Writer {
        Writer { out: DECLARATION.to_owned(), open: Vec::new(), indent: true }
    }

    pub fn open(&mut self, name: &'static str) -> &mut Writer {
        if let Some(parent) = self.open.last_mut() {
            parent.has_children = true;
        }
        self.close_tag();
        self.new_line();
        self.out.push('<');
        self.out.push_str(name);
        self.open.push(Open { name, in_tag: true, has_children: false });
        self
    }

    /// An attribute of the element just opened.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Writer {
        debug_assert!(self.open.last().is_some_and(|e| e.in_tag), "an attribute follows its start tag");
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(&mut self.out, value, true);
        self.out.push('"');
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Writer {
        if !text.is_empty() {
            self.close_tag();
            escape(&mut self.out, text, false);
        }
        self
    }

    /// Ends the innermost element. An empty one becomes `<name />`, as .NET writes it.
    pub fn close(&mut self) -> &mut Writer {
        let Some(element) = self.open.pop() else { return self };
        if element.in_tag {
            self.out.push_str(" />");
            return self;
        }
        if element.has_children {
            self.new_line();
        }
        self.out.push_str("</");
        self.out.push_str(element.name);
        self.out.push('>');
        self
    }

    /// An element with text only.
    pub fn leaf(&mut self, name: &'static str, text: &str) -> &mut Writer {
        self.open(name).text(text).close()
    }

    /// A null element (`xsi:nil`). Needs the prefix `xsi` declared.
    pub fn nil(&mut self, name: &'static str) -> &mut Writer {
        self.open(name).attribute("xsi:nil", "true").close()
    }

    /// The text written since the last call, so that a long document can be sent in pieces.
    pub fn take(&mut self) -> String {
        self.close_tag();
        std::mem::take(&mut self.out)
    }

    /// The document. Closes the elements that are still open.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn close_tag(&mut self) {
        if let Some(element) = self.open.last_mut()
            && element.in_tag
        {
            element.in_tag = false;
            self.out.push('>');
        }
    }

    fn new_line(&mut self) {
        if self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.open.len()));
        }
    }
}

/// Enough for nearly every message, so that the buffer does not grow.
const MESSAGE_BYTES: usize = 1024;
const MESSAGE_DEPTH: usize = 8;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>";

/// Escapes `value`. A character that XML 1.0 cannot carry, not even as a reference, becomes U+FFFD.
fn escape(out: &mut String, value: &str, in_attribute: bool) {
    // Nearly every value needs no escaping. EF is the first byte of U+FFFE and U+FFFF, which XML cannot carry. Without an early
    // exit the compiler tests many bytes at a time.
    let is_special =
        |byte: u8| (byte < b' ') | (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == b'"') | (byte == 0xEF);
    if !value.bytes().fold(false, |found, byte| found | is_special(byte)) {
        out.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\t' | '\n' if !in_attribute => out.push(c),
            // A bare carriage return would be read as a line feed, and white space in attributes as a space.
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            c if is_xml_char(c) => out.push(c),
            _ => out.push('\u{FFFD}'),
        }
    }
}

/// XML 1.0 §2.2, production 2.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_dot_net_does() {
        let mut w = Writer::compact();
        w.open("a").attribute("x", "<\"&'\t>").leaf("b", "1 < 2\r\n").leaf("c", "");
        let written = r#"<a x="&lt;&quot;&amp;'&#x9;&gt;"><b>1 &lt; 2&#xD;"#.to_owned() + "\n</b><c /></a>";
        assert_eq!(w.finish(), DECLARATION.to_owned() + &written);
    }

    #[test]
    fn indents_elements_and_leaves_text_alone() {
        let mut w = Writer::indented();
        w.open("a").open("b").leaf("c", "x").close().leaf("d", "");
        assert_eq!(w.finish(), format!("{DECLARATION}\n<a>\n  <b>\n    <c>x</c>\n  </b>\n  <d />\n</a>"));
    }

    #[test]
    fn never_writes_a_character_xml_cannot_carry() {
        let mut w = Writer::compact();
        w.leaf("a", "\u{0}\u{1B}\u{FFFE}ok");
        assert_eq!(w.finish(), format!("{DECLARATION}<a>\u{FFFD}\u{FFFD}\u{FFFD}ok</a>"));
    }
}
