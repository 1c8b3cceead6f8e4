//! `$select`: the members of the answer. The others are null.

use std::collections::BTreeMap;

/// Names by their path. They compare without regard to case; unknown names have no effect.
#[derive(Debug, Default)]
pub struct Select {
    /// All members here and below.
    everything: bool,
    /// By name in lower case.
    members: BTreeMap<String, Select>,
}

/// More than the depth of any carrier; longer paths are cut.
const DEPTH_MAX: usize = 16;

static EVERYTHING: Select = Select { everything: true, members: BTreeMap::new() };

impl Select {
    /// The selection without `$select`.
    pub fn everything() -> &'static Select {
        &EVERYTHING
    }

    /// Reads `a,b,c/d`: a, b, and of c only d. Blanks around names are ignored. A text without names selects everything.
    pub fn parse(text: &str) -> Select {
        let mut select = Select::default();
        for path in text.split(',') {
            let mut at = &mut select;
            for name in path.split('/').map(str::trim).filter(|name| !name.is_empty()).take(DEPTH_MAX) {
                at = at.members.entry(name.to_ascii_lowercase()).or_default();
            }
            at.everything = true;
        }
        // An empty path between two commas selects nothing.
        select.everything = select.members.is_empty();
        select
    }

    /// The selection within the member of this name; `None`: the member is not selected.
    pub fn of(&self, name: &str) -> Option<&Select> {
        if self.everything { Some(&EVERYTHING) } else { self.members.get(&name.to_ascii_lowercase()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_is_wanted() {
        for (text, path, wanted) in [
            ("", "a", true),
            (" , ,", "a", true),
            ("a", "a", true),
            ("a", "A/b", true),
            ("a", "b", false),
            ("A , b", "a", true),
            ("a/b", "a", true),
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/b,a", "a/c", true),
            ("a,a/b", "a/c", true),
            ("a//b/", "a/b", true),
            ("a,,b", "c", false),
            ("nothing has this", "a", false),
        ] {
            let select = Select::parse(text);
            let found = path.split('/').try_fold(&select, |at, name| at.of(name));
            assert_eq!(found.is_some(), wanted, "{path} of {text:?}");
        }
        Select::parse(&"a/".repeat(100_000));
    }
}
