//! Names that are nearly right.

/// The known name that is most like this one, if any is like it.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LIKE: f64 = 0.7;
    let likeness = |known: &'n str| {
        let like = strsim::normalized_damerau_levenshtein(name, known);
        // A part of a name, such as `port` of `port_max`.
        (like.max(if known.starts_with(name) || name.starts_with(known) { LIKE } else { 0.0 }), known)
    };
    let best = known.map(likeness).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= LIKE).then_some(best.1)
}
