//! Errors without the passwords of addresses. An address in a wrong place, such as `seatkeeper serve postgres://…`, is an argument like any
//! other to the code that refuses it, and the error of a service goes to the journal.

use crate::store::masked;

/// The text without the passwords of the program's arguments, and of every other word with the form of an address.
pub(super) fn without_passwords(text: &str) -> String {
    without_passwords_of(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()), text)
}

fn without_passwords_of(arguments: impl Iterator<Item = String>, text: &str) -> String {
    let mut hidden = Vec::new();
    for argument in arguments {
        // `--flag=VALUE`: an error may name the value alone.
        let value = argument.split_once('=').map(|(_, value)| value.to_owned());
        for part in [Some(argument), value].into_iter().flatten() {
            let shown = masked(&part);
            if shown != part {
                // A path is shown with single slashes, and a text of several lines line by line.
                hidden.push((part.replace("//", "/"), shown.replace("//", "/")));
                hidden.push((part.escape_debug().to_string(), shown.escape_debug().to_string()));
                hidden.push((part, shown));
            }
        }
    }
    // An argument may be a part of another one.
    hidden.sort_by_key(|(part, _)| std::cmp::Reverse(part.len()));
    let text = hidden.iter().fold(text.to_owned(), |text, (part, shown)| text.replace(part, shown));
    let is_end = |c: char| c.is_whitespace() || c.is_control();
    text.split_inclusive(is_end)
        .map(|word| {
            let (word, end) = word.split_at(word.trim_end_matches(is_end).len());
            if word.contains("://") { masked(word) + end } else { word.to_owned() + end }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_no_password() {
        for (arguments, text, shown) in [
            (&["postgres://u:top@h/d"][..], "no 'postgres://u:top@h/d' here", "no 'postgres://u:***@h/d' here"),
            (&[], "no 'postgres://u:top@h/d' here", "no 'postgres://u:***@h/d' here"),
            (&["postgres://u:t o'p@h/d"], "no 'postgres://u:t o'p@h/d' here", "no 'postgres://u:***@h/d' here"),
            (&["--to=postgres://u:t o/p"], "no 'postgres://u:t o/p' here", "no 'postgres://u:***' here"),
            (&["postgres://u:top/d"], "/var/postgres:/u:top/d: no such file", "/var/postgres:/u:***: no such file"),
            (&["host=h password='t p'"], "host=h password='t p': no such file", "host=h password=***: no such file"),
            (&["postgres://u:t\"p@h"], "file \"postgres://u:t\\\"p@h\"", "file \"postgres://u:***@h\""),
            (&["undo", "x"], "see http://127.0.0.1:8086\n\n  and 'x'\n", "see http://127.0.0.1:8086\n\n  and 'x'\n"),
        ] {
            let arguments = arguments.iter().map(|argument| (*argument).to_owned());
            assert_eq!(without_passwords_of(arguments, text), shown, "{text}");
        }
    }
}
