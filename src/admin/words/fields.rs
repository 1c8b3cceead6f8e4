//! Names of columns, kinds and values.

words! {
    entity = "Entity" | "Organisation";
    parent = "Parent" | "Übergeordnet";
    name = "Name" | "Name";
    active = "Active" | "Aktiv";
    owner_name = "Owner name" | "Owner-Name";
    owner_description = "Owner description" | "Owner-Beschreibung";
    serial_nr = "Serial number" | "Seriennummer";
    shop_url = "Shop address" | "Shop-Adresse";
    next_check_at = "Next check" | "Nächste Prüfung";
    maintenance_at = "Maintenance until" | "Wartung bis";
    admin_warning_at = "Warning from" | "Warnung ab";
    license_expires_at = "License expires" | "Lizenz läuft ab";
    grace_at = "Grace until" | "Kulanz bis";
    customer_nr = "Customer number" | "Kundennummer";
    note = "Note" | "Notiz";
    user = "User" | "Benutzer";
    credential = "Credential" | "Zugang";
    role = "Role" | "Rolle";
    pool = "Pool" | "Pool";
    license_type = "License type" | "Lizenztyp";
    seats_total = "Seats" | "Plätze";
    seats_in_use = "In use" | "Belegt";
    seats_free = "Free" | "Frei";
    seats_in_use_max = "Most at once" | "Höchststand";
    starts_at = "Starts" | "Beginnt";
    expires_at = "Expires" | "Läuft ab";
    product_key = "Product key" | "Produktschlüssel";
    license_data = "License data" | "Lizenzdaten";
    seat = "Seat" | "Platz";
    since = "Since" | "Seit";
    until = "Until" | "Bis";
    from = "From" | "Von";
    at = "Time" | "Zeit";
    actor = "Changed by" | "Geändert von";
    action = "Action" | "Vorgang";
    subject = "About" | "Betrifft";
    changes = "Changes" | "Änderungen";
    reason = "Reason" | "Grund";
    operation = "Operation" | "Operation";
    code = "Code" | "Code";
    message = "Message" | "Meldung";
    address = "Address" | "Adresse";
    last_used = "Last used" | "Zuletzt benutzt";
    last_address = "Last address" | "Letzte Adresse";
    failures = "Failures since" | "Fehlversuche seitdem";
    last_failure = "Last failure" | "Letzter Fehlversuch";
    tickets = "Open tickets" | "Offene Tickets";
    sessions = "Open sessions" | "Offene Sitzungen";
    company_name = "New name" | "Neuer Name";
    offered = "Offered seats" | "Angebotene Plätze";
    state = "State" | "Zustand";
    id = "Id" | "Nr.";
    time_hint = "UTC, such as 2027-01-31T00:00:00Z or 2027-01-31." | "UTC, zum Beispiel 2027-01-31T00:00:00Z oder 2027-01-31.";
    below = "Also below" | "Auch darunter";

    action_assign = "Seat assigned" | "Platz vergeben";
    action_release = "Seat released" | "Platz freigegeben";
    action_seat_change = "Seat changed" | "Platz geändert";
    action_pool_create = "Pool created" | "Pool angelegt";
    action_pool_change = "Pool changed" | "Pool geändert";
    action_pool_delete = "Pool deleted" | "Pool gelöscht";
    action_entity_create = "Entity created" | "Organisation angelegt";
    action_entity_change = "Entity changed" | "Organisation geändert";
    action_entity_delete = "Entity deleted" | "Organisation gelöscht";
    action_account_create = "User created" | "Benutzer angelegt";
    action_account_change = "User changed" | "Benutzer geändert";
    action_credential_create = "Credential created" | "Zugang angelegt";
    action_credential_change = "Credential changed" | "Zugang geändert";
    action_credential_delete = "Credential deleted" | "Zugang gelöscht";
    action_offer_create = "Offer made" | "Angebot angelegt";
    action_offer_change = "Offer changed" | "Angebot geändert";
    action_offer_delete = "Offer withdrawn or activated" | "Angebot zurückgezogen oder aktiviert";
    action_offer_module_create = "Offered seats added" | "Angebotene Plätze hinzugefügt";
    action_offer_module_change = "Offered seats changed" | "Angebotene Plätze geändert";
    action_offer_module_delete = "Offered seats withdrawn" | "Angebotene Plätze zurückgezogen";
    action_archive = "Events archived" | "Ereignisse archiviert";
    action_copy = "Database copied" | "Datenbank kopiert";
    password_hash_changed = "new password" | "neues Passwort";
}

impl super::Words {
    /// The label of an action in the history. An unknown action is shown as it is stored.
    pub(in crate::admin) fn action_name(self, action: &str) -> &str {
        match action {
            "assign" => self.action_assign(),
            "release" => self.action_release(),
            "seat-change" => self.action_seat_change(),
            "pool-create" => self.action_pool_create(),
            "pool-change" => self.action_pool_change(),
            "pool-delete" => self.action_pool_delete(),
            "entity-create" => self.action_entity_create(),
            "entity-change" => self.action_entity_change(),
            "entity-delete" => self.action_entity_delete(),
            "account-create" => self.action_account_create(),
            "account-change" => self.action_account_change(),
            "credential-create" => self.action_credential_create(),
            "credential-change" => self.action_credential_change(),
            "credential-delete" => self.action_credential_delete(),
            "offer-create" => self.action_offer_create(),
            "offer-change" => self.action_offer_change(),
            "offer-delete" => self.action_offer_delete(),
            "offer-module-create" => self.action_offer_module_create(),
            "offer-module-change" => self.action_offer_module_change(),
            "offer-module-delete" => self.action_offer_module_delete(),
            "archive" => self.action_archive(),
            "copy" => self.action_copy(),
            other => other,
        }
    }

    /// The label of a column of a table. An unknown column keeps its name.
    pub(in crate::admin) fn column_name(self, column: &str) -> &str {
        match column {
            "id" => self.id(),
            "parent_id" => self.parent(),
            "entity_id" => self.entity(),
            "name" => self.name(),
            "active" => self.active(),
            "owner_name" => self.owner_name(),
            "owner_description" => self.owner_description(),
            "serial_nr" => self.serial_nr(),
            "shop_url" => self.shop_url(),
            "next_check_at" => self.next_check_at(),
            "maintenance_at" => self.maintenance_at(),
            "admin_warning_at" => self.admin_warning_at(),
            "expires_at" => self.expires_at(),
            "grace_at" => self.grace_at(),
            "customer_nr" => self.customer_nr(),
            "note" => self.note(),
            "username" | "user_name" => self.user_name(),
            "password_hash" => self.password(),
            "role" => self.role(),
            "license_type" => self.license_type(),
            "seats_total" => self.seats_total(),
            "starts_at" => self.starts_at(),
            "product_key" => self.product_key(),
            "license_data" => self.license_data(),
            "company_name" => self.company_name(),
            other => other,
        }
    }
}
