//! Why a call was refused: rules, facts and what would make it succeed.

use super::Words;
use crate::store::admin::explain::{Decision, Fact, RULES, Remedy};
use crate::store::admin::pools::PoolState;

words! {
    explain_intro = "Paste the Err- id of a refusal, or say which assignment to look at." | "Fügen Sie die Err-ID einer Ablehnung ein, oder sagen Sie, welche Zuweisung geprüft werden soll.";
    error_id = "Err- id or request id" | "Err-ID oder Request-ID";
    by_error_id = "By the id of a refusal" | "Nach der ID einer Ablehnung";
    by_assignment = "By an assignment" | "Nach einer Zuweisung";
    explain_now = "Explain" | "Erklären";
    as_credential = "As the credential (empty: you)" | "Als Zugang (leer: Sie)";
    the_refusal = "The refusal" | "Die Ablehnung";
    decision = "The decision now" | "Die Entscheidung jetzt";
    would_succeed(pool: i64) = "A seat of pool {pool} would be given." | "Ein Platz aus Pool {pool} würde vergeben.";
    would_enroll = "The user would be added first." | "Der Benutzer würde zuvor angelegt.";
    would_give_up(pool: i64) = "The expired seat of pool {pool} would be given up." | "Der abgelaufene Platz aus Pool {pool} würde aufgegeben.";
    would_refuse = "It would be refused:" | "Es würde abgelehnt:";
    no_decision = "The refused call was no assignment, or did not say all that one needs; so no rule can be looked at again." | "Der abgelehnte Aufruf war keine Zuweisung, oder er sagte nicht alles Nötige; darum lässt sich keine Regel noch einmal prüfen.";
    rules_asked = "The rules, in their order" | "Die Regeln, in ihrer Reihenfolge";
    rule_met = "met" | "erfüllt";
    rule_fired = "not met: this one refuses" | "nicht erfüllt: diese lehnt ab";
    rule_not_asked = "not asked" | "nicht gefragt";
    number = "No." | "Nr.";
    rule = "Rule" | "Regel";
    facts_title = "The facts" | "Die Tatsachen";
    remedies_title = "What would make it succeed" | "Womit es gelänge";
    do_it = "Do it" | "Ausführen";
}

const RULES_GERMAN: [&str; RULES.len()] = [
    "Der Aufrufer ist mit einem aktiven Zugang angemeldet.",
    "Der Zugang hat die Rolle agent oder admin.",
    "Der Benutzername ist angegeben und gültig.",
    "Die Provider-Organisation ist angegeben und positiv.",
    "Der Lizenztyp ist angegeben.",
    "Die Provider-Organisation gibt es, und sie gehört zu den Organisationen des Zugangs.",
    "Die Provider-Organisation ist aktiv.",
    "Der Benutzer ist bekannt, oder der Dienst legt Benutzer an.",
    "Der Benutzer ist aktiv und gehört zu den Organisationen des Zugangs.",
    "Der Benutzer hält keinen Platz dieses Typs in einem Pool, der nicht abgelaufen ist.",
    "Die Provider-Organisation hat einen Pool dieses Typs, der begonnen hat und nicht abgelaufen ist.",
    "Einer dieser Pools hat einen freien Platz.",
];

impl Words {
    pub(in crate::admin) fn rule_text(self, index: usize) -> &'static str {
        let rules = match self {
            Words::English => &RULES,
            Words::German => &RULES_GERMAN,
        };
        rules.get(index).copied().unwrap_or_default()
    }

    pub(in crate::admin) fn decision_text(self, decision: &Decision) -> String {
        match decision {
            Decision::Assigned { pool_id, enrolls, gives_up } => {
                let mut text = self.would_succeed(*pool_id);
                if *enrolls {
                    text = format!("{text} {}", self.would_enroll());
                }
                gives_up.map_or(text.clone(), |pool| format!("{text} {}", self.would_give_up(pool)))
            }
            Decision::Refused(refusal) => format!("{} {refusal}", self.would_refuse()),
        }
    }

    pub(in crate::admin) fn fact(self, fact: &Fact) -> String {
        if self == Words::English {
            return fact.to_string();
        }
        let active = |active: bool| if active { "aktiv" } else { "nicht aktiv" };
        let among = |among: bool| if among { "gehört" } else { "gehört nicht" };
        match fact {
            Fact::Caller { name, role, active: is_active, entity_id } => {
                let who = name.as_ref().map_or("Sie haben".to_owned(), |name| format!("Der Zugang '{name}' hat"));
                let where_ = entity_id.map_or("für alle Organisationen".to_owned(), |id| {
                    format!("für Organisation {id} und alles darunter")
                });
                let state = if *is_active { "" } else { "; er ist nicht aktiv" };
                format!("{who} die Rolle {} {where_}{state}.", role.name())
            }
            Fact::Entity { id, name, active: is_active, in_subtree } => format!(
                "Organisation {id} ({name}) ist {} und {} zu den Organisationen des Aufrufers.",
                active(*is_active),
                among(*in_subtree)
            ),
            Fact::EntityUnknown { id } => {
                format!("Organisation {id} gibt es nicht, oder sie gehört nicht zu Ihren Organisationen.")
            }
            Fact::Account { id, username, active: is_active, entity_id, in_subtree } => format!(
                "Der Benutzer '{username}' (Nr. {id}) ist {}; seine Organisation {entity_id} {} zu denen des Aufrufers.",
                active(*is_active),
                among(*in_subtree)
            ),
            Fact::AccountNew { username, enroll: true } => {
                format!("Der Benutzer '{username}' ist nicht bekannt; der Dienst würde ihn anlegen.")
            }
            Fact::AccountNew { username, enroll: false } => {
                format!("Der Benutzer '{username}' ist nicht bekannt, und der Dienst legt keine Benutzer an.")
            }
            Fact::AccountOfOthers { username } => {
                format!("Der Benutzer '{username}' gehört nicht zu Ihren Organisationen.")
            }
            Fact::Held { pool, expires_at, has_expired } => {
                let what = pool
                    .map_or("Der Benutzer hält einen Platz eines anderen Besitzers".to_owned(), |(pool, seat)| {
                        format!("Der Benutzer hält Platz {seat} von Pool {pool}")
                    });
                match (expires_at, has_expired) {
                    (Some(at), true) => {
                        format!("{what}, der am {at} abgelaufen ist: Er wird für einen anderen aufgegeben.")
                    }
                    (Some(at), false) => format!("{what}, der am {at} abläuft."),
                    (None, _) => format!("{what}, der nicht abläuft."),
                }
            }
            Fact::HoldsNone => "Der Benutzer hält keinen Platz dieses Typs.".to_owned(),
            Fact::Pool { id, seats_total, seats_in_use, state, starts_at, expires_at } => {
                let when = match (state, starts_at, expires_at) {
                    (PoolState::NotBegun, Some(at), _) => format!("er beginnt am {at}"),
                    (PoolState::Expired, _, Some(at)) => format!("er ist am {at} abgelaufen"),
                    (_, _, Some(at)) => format!("er ist offen bis {at}"),
                    (..) => "er ist offen".to_owned(),
                };
                format!("Pool {id}: {seats_in_use} von {seats_total} Plätzen belegt; {when}.")
            }
            Fact::NoPools => "Die Organisation hat keinen Pool dieses Typs.".to_owned(),
        }
    }

    pub(in crate::admin) fn remedy(self, remedy: &Remedy) -> String {
        if self == Words::English {
            return remedy.to_string();
        }
        match remedy {
            Remedy::Assign { username, entity_id, license_type } => {
                format!(
                    "'{username}' einen {license_type}-Platz von Organisation {entity_id} geben: Der Aufruf gelänge jetzt."
                )
            }
            Remedy::NothingNeeded => "Nichts ist zu tun: Der Benutzer hält schon so einen Platz.".to_owned(),
            Remedy::RaisePool { pool_id, seats_total } => {
                format!("Pool {pool_id} auf {seats_total} Plätze vergrößern.")
            }
            Remedy::ReleaseOther { pool_id } => {
                format!("Einen Platz von Pool {pool_id} freigeben, der nicht mehr gebraucht wird.")
            }
            Remedy::ReleaseHeld { license_type, .. } => {
                format!("Den {license_type}-Platz freigeben, den der Benutzer hält.")
            }
            Remedy::RenewPool { pool_id, expired_at } => {
                format!("Pool {pool_id} verlängern, der am {expired_at} abgelaufen ist.")
            }
            Remedy::StartPool { pool_id, starts_at } => {
                format!("Pool {pool_id} jetzt beginnen lassen; er soll am {starts_at} beginnen.")
            }
            Remedy::AddPool { entity_id, license_type } => {
                format!("Der Organisation {entity_id} einen {license_type}-Pool anlegen.")
            }
            Remedy::ActivateEntity { entity_id } => format!("Organisation {entity_id} aktiv machen."),
            Remedy::ActivateAccount { .. } => "Den Benutzer aktiv machen.".to_owned(),
            Remedy::MoveAccount { .. } => {
                "Den Benutzer in eine Organisation verschieben, die der Zugang erreicht.".to_owned()
            }
            Remedy::CreateAccount { username, entity_id } => {
                format!("Den Benutzer '{username}' in Organisation {entity_id} anlegen.")
            }
            Remedy::ChooseUser => "Einen anderen Benutzernamen verwenden: Dieser gehört anderen.".to_owned(),
            Remedy::ChooseEntity { entity_id, name, free } => {
                format!("Provider-Organisation {entity_id} ({name}) verwenden; freie Plätze: {free}.")
            }
            Remedy::ChooseAnyEntity => "Eine Provider-Organisation verwenden, die der Zugang erreicht.".to_owned(),
            Remedy::UseCredentialOf { entity_id } => {
                format!("Einen Zugang verwenden, der Organisation {entity_id} erreicht.")
            }
            Remedy::ActivateCredential { user_name } => format!("Den Zugang '{user_name}' aktiv machen."),
            Remedy::ChangeRole { user_name, role } => {
                format!("Dem Zugang '{user_name}' die Rolle {} geben.", role.name())
            }
            Remedy::CheckPassword { user_name: Some(name) } => {
                format!("Das Passwort von '{name}' beim Client prüfen, oder ein neues setzen.")
            }
            Remedy::CheckPassword { user_name: None } => "Benutzernamen und Passwort beim Client prüfen.".to_owned(),
            Remedy::CorrectRequest { field } => format!("{field} in der Anfrage berichtigen."),
        }
    }
}
