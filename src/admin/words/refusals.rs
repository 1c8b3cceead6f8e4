//! Why something is not done.

use super::Words;
use crate::store::admin::AdminRefusal;

words! {
    refusal_caller = "You are not signed in, or your password has changed. Sign in again." | "Sie sind nicht angemeldet, oder Ihr Passwort hat sich geändert. Melden Sie sich wieder an.";
    refusal_role(needed: &str, role: &str) = "This needs the role {needed}; yours is {role}." | "Dafür ist die Rolle {needed} nötig; Ihre ist {role}.";
    refusal_not_found(what: &str, id: &str) = "There is no {what} {id}, or it is not among your entities." | "Es gibt nicht: {what} {id}; oder es gehört nicht zu Ihren Organisationen.";
    refusal_scope(what: &str) = "This reaches beyond your entities: {what}." | "Das geht über Ihre Organisationen hinaus: {what}.";
    refusal_moved(what: &str) = "Nothing was changed: {what} has changed meanwhile. Look again, then repeat the change." | "Nichts wurde geändert: Inzwischen wurde geändert: {what}. Sehen Sie nach, dann wiederholen Sie die Änderung.";
    refusal_undo(why: &str) = "This cannot be undone: {why}." | "Das lässt sich nicht rückgängig machen: {why}.";
    refusal_many(what: &str, max: u64) = "Too many {what}: {max} are the most at a time." | "Zu viel auf einmal ({what}): höchstens {max}.";
    refusal_lines(count: usize) = "Lines that cannot be imported: {count}." | "Zeilen, die nicht importiert werden können: {count}.";
    refusal_own = "You cannot change the role of your own credential, make it inactive or delete it. Ask another administrator." | "Am eigenen Zugang können Sie die Rolle nicht ändern, ihn nicht inaktiv machen und nicht löschen. Fragen Sie einen anderen Administrator.";
    refusal_nothing = "There is nothing to change." | "Es gibt nichts zu ändern.";
    refusal_not_empty = "There are credentials already. Sign in with one of them." | "Es gibt schon Zugänge. Melden Sie sich mit einem davon an.";
    refusal_invalid(field: &str, why: &str) = "{field}: {why}" | "{field}: {why}";
    refusal_database(sentence: &str) = "{sentence}" | "Die Datenbank lehnt ab: {sentence}";
    invalid(why: &str) = "{why}" | "Ungültig: {why}";
}

impl Words {
    /// The sentence for a refusal. What guards of the database and the rules for seats say is English in every language: logs and
    /// documents have the same words.
    pub(in crate::admin) fn refusal(self, refusal: &AdminRefusal) -> String {
        match refusal {
            AdminRefusal::CallerUnknown => self.refusal_caller().to_owned(),
            AdminRefusal::RoleTooLow { role, least } => self.refusal_role(least.name(), role.name()),
            AdminRefusal::NotFound { what, id } => self.refusal_not_found(what, id),
            AdminRefusal::OutOfScope { what } => self.refusal_scope(what),
            AdminRefusal::Guard(sentence) => self.refusal_database(sentence),
            AdminRefusal::Rule(refusal) => self.refusal_database(&refusal.to_string()),
            AdminRefusal::Moved { what } => self.refusal_moved(what),
            AdminRefusal::NotUndoable { why } => self.refusal_undo(why),
            AdminRefusal::TooMany { what, max } => self.refusal_many(what, *max),
            AdminRefusal::Line { line, why } => self.line(*line, why),
            AdminRefusal::Lines(lines) => self.refusal_lines(lines.len()),
            AdminRefusal::Own => self.refusal_own().to_owned(),
            AdminRefusal::Invalid { field, why } => self.refusal_invalid(self.column_name(field), why),
            AdminRefusal::Nothing => self.refusal_nothing().to_owned(),
            AdminRefusal::NotEmpty => self.refusal_not_empty().to_owned(),
        }
    }
}
