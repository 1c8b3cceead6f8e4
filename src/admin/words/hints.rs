//! The hints below the fields of rows. The English ones are those of the column table.

use super::Words;
use crate::store::admin::edit::{Column, Table};

impl Words {
    /// The values that a column may hold, in words.
    pub(in crate::admin) fn column_hint(self, table: Table, column: &'static Column) -> &'static str {
        if self == Words::English {
            return match (table, column.name) {
                // There is a box to be ticked, not a number.
                (Table::Entity, "active") => {
                    "not ticked: no new seats under this entity; seats that are taken stay taken"
                }
                (Table::Credential, "active") => "not ticked: every call is refused",
                (Table::Account, "active") => "not ticked: no new seats; seats that the user holds stay",
                _ => column.doc,
            };
        }
        match (table, column.name) {
            (Table::Entity, "id") => "was Agenten als LicenseProviderEntityId senden; leer: die nächste freie Nummer",
            (Table::Entity, "parent_id") => "die Organisation darüber; leer: keine",
            (Table::Entity, "name") => "1 bis 255 Zeichen",
            (Table::Entity, "active") => {
                "ohne Haken: keine neuen Plätze unter dieser Organisation; belegte bleiben belegt"
            }
            (Table::Entity, "owner_name") => "A-Z und 0-9; leer: Lizenzwerkzeuge sehen die Organisation nicht",
            (Table::Entity, "owner_description") => "zeigen Lizenzwerkzeuge; leer: der Name",
            (Table::Entity, "serial_nr" | "next_check_at") => "zeigen Lizenzwerkzeuge",
            (Table::Entity, "shop_url") => "wo die Lizenz verlängert wird",
            (Table::Entity, "maintenance_at") => "zeigen Lizenzwerkzeuge: das Ende der Wartung",
            (Table::Entity, "admin_warning_at") => "ab dann warnen Lizenzwerkzeuge",
            (Table::Entity, "expires_at") => "zeigen Lizenzwerkzeuge: das formale Ende; kein Pool schließt damit",
            (Table::Entity, "grace_at") => "zeigen Lizenzwerkzeuge: das wirkliche Ende; kein Pool schließt damit",
            (Table::Credential, "user_name") | (Table::Account, "username") => {
                "1 bis 128 Zeichen; Groß- und Kleinbuchstaben sind gleich"
            }
            (Table::Credential, "password_hash") => {
                "eine argon2id-Zeichenkette (PHC), wie seatkeeper hash-password sie schreibt"
            }
            (Table::Credential, "entity_id") => "wo die Rechte beginnen: diese Organisation und alles darunter",
            (Table::Credential, "role") => "reader sieht, agent vergibt auch, admin gibt auch frei und ändert",
            (Table::Credential, "active") => "ohne Haken: jeder Aufruf wird abgelehnt",
            (Table::Account | Table::Pool, "id") => "leer: die nächste freie Nummer",
            (Table::Account, "entity_id") => "die Organisation, zu der der Benutzer gehört",
            (Table::Account, "active") => "ohne Haken: keine neuen Plätze; gehaltene bleiben",
            (Table::Pool, "entity_id") => "wessen Plätze das sind",
            (_, "license_type") => "SkraftDiskImageV5, SqlBackup oder ExchangeBackup",
            (Table::Pool, "seats_total") => "0 bis 10000000",
            (Table::Pool, "starts_at") => "ab dann werden Plätze vergeben; leer: sofort",
            (Table::Pool, "expires_at") => "bis dann werden Plätze vergeben, ausschließlich; leer: für immer",
            (Table::Pool, "product_key") => "was ein Inhaber bekommt, dessen Platz keinen eigenen hat",
            (Table::Pool, "license_data") => "hexadezimal; was ein Inhaber bekommt, dessen Platz keine eigenen hat",
            (Table::Seat, "product_key") => "dieses Platzes; leer: der des Pools",
            (Table::Seat, "license_data") => "dieses Platzes, hexadezimal; leer: die des Pools",
            (Table::Offer, "entity_id") => "für wen es ist",
            (Table::Offer, "company_name") => "wird der Name der Organisation; leer: wie er ist",
            (Table::Offer, _) => "leer: wie es ist",
            (Table::OfferModule, "entity_id") => "zu wessen Angebot es gehört",
            (Table::OfferModule, "seats_total") => "aller offenen Pools zusammen nach der Aktivierung, 0 bis 10000000",
            (_, "customer_nr" | "note") => "Ihre",
            _ => "",
        }
    }

    /// The label of a column in a form: some names mean another thing in another table.
    pub(in crate::admin) fn column_label(self, table: Table, column: &'static str) -> &'static str {
        match (table, column) {
            (Table::Entity | Table::Offer, "expires_at") => self.license_expires_at(),
            _ => self.column_name(column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_with_an_english_hint_has_a_german_one() {
        for table in [
            Table::Entity,
            Table::Credential,
            Table::Account,
            Table::Pool,
            Table::Seat,
            Table::Offer,
            Table::OfferModule,
        ] {
            for column in table.columns() {
                let (english, german) =
                    (Words::English.column_hint(table, column), Words::German.column_hint(table, column));
                assert_eq!(english.is_empty(), german.is_empty(), "{table:?} {}", column.name);
            }
        }
    }
}
