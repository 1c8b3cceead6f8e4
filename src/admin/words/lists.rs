//! Lists, totals, history, search, explanation, report.

words! {
    previous_page = "Previous page" | "Vorige Seite";
    state_open = "open" | "offen";
    state_not_begun = "not begun" | "noch nicht begonnen";
    state_expired = "expired" | "abgelaufen";
    percent_least = "In use at least (%)" | "Mindestens belegt (%)";
    expires_within_days = "Expires within (days)" | "Läuft ab binnen (Tagen)";
    has_seats_in_use = "Has seats in use" | "Hat belegte Plätze";
    order = "Order" | "Reihenfolge";
    pool_title(id: i64, license_type: &str) = "Pool {id}, {license_type}" | "Pool {id}, {license_type}";
    use_over_time = "Use over time" | "Nutzung im Lauf der Zeit";
    chart_title(from: &str, until: &str) = "Seats in use from {from} to {until}" | "Belegte Plätze vom {from} bis {until}";
    chart_incomplete = "Older events were not read, or were moved to an archive." | "Ältere Ereignisse wurden nicht gelesen oder sind archiviert.";
    peak_since = "Most since the row below" | "Höchststand seit der Zeile darunter";
    as_table = "As a table" | "Als Tabelle";
    holders = "Holders" | "Inhaber";
    nobody = "No seat is taken." | "Kein Platz ist belegt.";
    other_entity = "of an entity that you may not see" | "von einer Organisation, die Sie nicht sehen dürfen";
    before_time(time: &str) = "before {time}" | "vor {time}";
    unknown = "unknown" | "unbekannt";
    report = "Report" | "Bericht";
    show = "Show" | "Zeigen";

    entity_text = "Name, owner name, customer number or id" | "Name, Owner-Name, Kundennummer oder Nr.";
    below_entity = "This entity and below (id)" | "Diese Organisation und darunter (Nr.)";
    has_owner_name = "Has an owner name" | "Hat einen Owner-Namen";
    children = "Below" | "Darunter";
    children_of(n: i64, name: &str) = "{n} below {name}" | "{n} unter {name}";
    in_use_with_below = "In use, with all below" | "Belegt, mit allen darunter";
    in_use_expired = "Held but expired" | "Belegt, aber abgelaufen";
    expires_first = "Soonest expiry" | "Nächster Ablauf";
    top_of_tree = "Top of the tree" | "Oberste Ebene";
    all_entities = "All entities" | "Alle Organisationen";
    all_below = "All directly below, page by page" | "Alle direkt darunter, Seite für Seite";
    directly_below = "Directly below" | "Direkt darunter";
    details = "Details" | "Einzelheiten";
    offer = "Offer" | "Angebot";
    seats_with_below = "Seats, with everything below" | "Plätze, mit allem darunter";
    all_types = "All types" | "Alle Typen";
    own_pools = "Of its own pools" | "Aus eigenen Pools";

    name_begins = "Name begins with" | "Name beginnt mit";
    name_or_note = "Part of name or note" | "Teil von Name oder Notiz";
    holds_a_seat = "Holds a seat" | "Hält einen Platz";
    holds_type = "Holds the type" | "Hält den Typ";
    holds = "Holds" | "Hält";
    holds_nothing = "Holds nothing." | "Hält nichts.";

    failing = "Fails to sign in" | "Meldet sich vergeblich an";
    unused_since = "Not used since" | "Unbenutzt seit";
    sign_ins = "Sign-ins" | "Anmeldungen";
    last_failure_address = "Address of the last failure" | "Adresse des letzten Fehlversuchs";
    what_it_changed = "What it changed" | "Was damit geändert wurde";
    sign_in_failed = "Sign-in failed" | "Anmeldung fehlgeschlagen";

    needs_attention = "What needs attention" | "Was Aufmerksamkeit braucht";
    full = "Full" | "Voll";
    nearly_full = "At least 90 % in use" | "Mindestens 90 % belegt";
    expire_within(days: u32) = "Expire within {days} days" | "Laufen binnen {days} Tagen ab";
    expired_but_held = "Expired but held" | "Abgelaufen, aber belegt";
    pools_and_seats(pools: i64, seats: i64) = "pools: {pools}, seats: {seats}" | "Pools: {pools}, Plätze: {seats}";
    all_seats = "All open pools" | "Alle offenen Pools";
    refusals_of_day = "Refusals of the last 24 hours" | "Ablehnungen der letzten 24 Stunden";
    all = "All" | "Alle";
    by_entity = "By entity" | "Nach Organisation";
    failing_credentials = "Credentials that fail to sign in" | "Zugänge, die sich vergeblich anmelden";
    none_failing = "None." | "Keine.";
    upkeep = "Upkeep" | "Wartung";
    last_backup = "Last backup" | "Letzte Sicherung";
    last_check = "Last verification" | "Letzte Prüfung";
    never = "never" | "nie";

    search_for(text: &str) = "Search: {text}" | "Suche: {text}";
    nothing_found = "Nothing was found. Names are found by their beginning, entities by any part of their name." | "Nichts gefunden. Namen werden am Anfang gesucht, Organisationen an jeder Stelle ihres Namens.";
    more_found = "There is more; the lists have all of it." | "Es gibt mehr; die Listen haben alles.";

    user_or_credential = "User or credential" | "Benutzer oder Zugang";
    no_events_of_request = "No change of this request was found, or you may not see it. Older requests without a reason are found with a time in the history." | "Zu dieser Anfrage wurde keine Änderung gefunden, oder Sie dürfen sie nicht sehen. Ältere Anfragen ohne Grund finden Sie mit einer Zeit im Verlauf.";
    all_events_of_request = "All events of the request" | "Alle Ereignisse der Anfrage";
    as_of = "As of a past moment" | "Stand in der Vergangenheit";
    as_of_intro = "Who held the seats of a pool at a past moment, or what a user held: from the events since then." | "Wer zu einem vergangenen Zeitpunkt die Plätze eines Pools hielt, oder was ein Benutzer hielt: aus den Ereignissen seitdem.";
    or_user = "Or a user" | "Oder ein Benutzer";
    as_of_unknown = "Too much has happened since, or the events were moved to an archive. seatkeeper audit holders reads the whole history." | "Seitdem ist zu viel geschehen, oder die Ereignisse sind archiviert. seatkeeper audit holders liest den ganzen Verlauf.";
    still_holds = "Holds it still" | "Hält ihn noch";

    report_of(name: &str) = "Report: {name}" | "Bericht: {name}";
    print_hint = "Print this page for a customer." | "Drucken Sie diese Seite für einen Kunden.";
    report_incomplete = "Some numbers of the beginning are those of the oldest event that was read." | "Einige Zahlen des Beginns sind die des ältesten gelesenen Ereignisses.";
    report_more_pools = "There are more pools than one report has. Choose an entity further down." | "Es gibt mehr Pools, als ein Bericht enthält. Wählen Sie eine Organisation weiter unten.";
    by_type = "By license type" | "Nach Lizenztyp";
    by_pool = "By pool" | "Nach Pool";
    no_pools = "No pools in this time." | "Keine Pools in dieser Zeit.";
    sizes_changed = "Changed numbers of seats" | "Geänderte Zahl der Plätze";
    seats_at_begin = "Seats at the beginning" | "Plätze zu Beginn";
    seats_at_end = "Seats at the end" | "Plätze am Ende";
    in_use_at_begin = "In use at the beginning" | "Belegt zu Beginn";
    in_use_at_end = "In use at the end" | "Belegt am Ende";
    peak = "Peak" | "Spitze";
    peak_at = "Peak at" | "Spitze am";
    assigned = "Assigned" | "Vergeben";
    released = "Released" | "Freigegeben";
    deleted = "deleted" | "gelöscht";

    assign_entity_hint = "The pool of this entity that expires first." | "Der Pool dieser Organisation, der zuerst abläuft.";
    assign_pool_hint = "Or a pool: then entity and type are those of the pool." | "Oder ein Pool: Dann gelten dessen Organisation und Typ.";
    not_a_number = "Must be a whole number." | "Muss eine ganze Zahl sein.";
    enroll = "Add the user if it is not known" | "Benutzer anlegen, wenn er nicht bekannt ist";
    keep_seats = "The user keeps its seats" | "Der Benutzer behält seine Plätze";
    why_pool_expired = "the pool has expired" | "der Pool ist abgelaufen";
    why_inactive = "the user is inactive" | "der Benutzer ist inaktiv";
    why_longest = "held for longest" | "am längsten gehalten";
    own_data_lost(n: i64) = "{n} free seats with a product key or license data of their own would go. An undo does not bring those back." | "{n} freie Plätze mit eigenem Produktschlüssel oder eigenen Lizenzdaten gingen verloren. Rückgängig machen bringt diese nicht zurück.";
    entity_id_hint = "The number of the entity." | "Die Nummer der Organisation.";
    seats_of_type(name: &str) = "Seats of {name}" | "Plätze von {name}";
    offered_seats_hint = "Of all open pools together, after the activation; empty: as they are." | "Aller offenen Pools zusammen, nach der Aktivierung; leer: wie sie sind.";
    offer_for(name: &str) = "Offer for {name}" | "Angebot für {name}";
    offer_intro = "License tools show this as New. Nothing changes until they activate it. What is left empty stays as it is." | "Lizenzwerkzeuge zeigen dies als New. Nichts ändert sich, bis sie es aktivieren. Was leer bleibt, bleibt wie es ist.";
}
