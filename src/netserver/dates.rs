//! Date-times in the form of one NetServer caller.
//!
//! A caller can name a time zone, over HTTP as `SO-TimeZone` and over SOAP as the block `TimeZone`. [`DateForm`] has the result. No
//! zone name is an error: an unknown zone counts as the base zone, which is UTC.
//!
//! The rules of the zones are built into the program, so that every machine gives the same answers, also one without zone files.

use std::iter::zip;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan, Unit};

/// .NET's minimum, which means "no date". It is the same in every zone, because shifted west it would not exist.
const ZERO: &str = "0001-01-01T00:00:00";

/// A time zone with SuperOffice's names.
#[derive(Debug, PartialEq, Eq)]
pub struct Zone {
    /// The number for `code`; 0 if it is not known.
    pub id: i32,
    /// ISO 3166 code of a country, or of a part of a country with several zones. `UTC` and `UK` are exceptions.
    pub code: &'static str,
    iana: &'static str,
}

impl Zone {
    /// Ignores case and surrounding blanks.
    pub fn by_code(code: &str) -> Option<&'static Zone> {
        let code = code.trim();
        ZONES.iter().find(|zone| zone.code.eq_ignore_ascii_case(code))
    }

    pub fn by_id(id: i32) -> Option<&'static Zone> {
        ZONES.iter().find(|zone| zone.id == id && id != 0)
    }

    fn rules(&self) -> TimeZone {
        TimeZone::get(self.iana).expect("the built-in rules have every zone of the table: a test looks each up")
    }
}

/// How one caller writes and reads date-times. By default in the base zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateForm {
    /// The requested zone, if it is known. On request even UTC is written without a suffix.
    zone: Option<&'static Zone>,
    with_offset: bool,
}

impl DateForm {
    /// For a caller that names no zone.
    pub fn base() -> DateForm {
        DateForm::default()
    }

    /// By the value of `SO-TimeZone`: code or number of a zone, `includeTZOffset`, or both, in any order.
    pub fn of_header(value: &str) -> DateForm {
        let mut dates = DateForm::base();
        for word in value.split(',').map(str::trim) {
            if word.eq_ignore_ascii_case("includeTZOffset") {
                dates.with_offset = true;
            } else {
                let by_id = || word.parse().ok().and_then(Zone::by_id);
                dates.zone = dates.zone.or_else(|| Zone::by_code(word)).or_else(by_id);
            }
        }
        dates
    }

    /// By `SoTimeZoneId` and `SoTimeZoneLocationCode`. The code takes precedence, because not every number is known.
    pub fn of_soap(id: Option<i32>, code: Option<&str>) -> DateForm {
        let zone = code.and_then(Zone::by_code).or_else(|| id.and_then(Zone::by_id));
        DateForm { zone, with_offset: false }
    }

    /// The zone used, named in answers.
    pub fn zone(&self) -> &'static Zone {
        self.zone.unwrap_or(BASE)
    }

    /// As xs:dateTime (XML Schema Part 2 §3.2.7). A time without a .NET date becomes the zero date.
    pub fn text(&self, at: Option<Timestamp>) -> String {
        let Some(at) = at.map(in_ticks) else { return ZERO.to_owned() };
        let offset = self.zone().rules().to_offset(at);
        let local = offset.to_datetime(at);
        if local.year() <= 1 {
            return ZERO.to_owned();
        }
        match self.zone {
            Some(_) if !self.with_offset => local.to_string(),
            // The suffix has no seconds, but before time zones offsets had them. The offset is rounded before it is applied, so
            // the text still gives the instant.
            Some(zone) if zone != BASE => {
                at.display_with_offset(offset.round(Unit::Minute).unwrap_or(offset)).to_string()
            }
            _ => at.to_string(),
        }
    }

    /// Reads an xs:dateTime; `None`: it is not one, `Some(None)`: it means "no date". That is any time of the year 1, since
    /// callers shift the zero date, and the beginning of 1970 (that instant, or midnight in any zone), which is zero for clients
    /// that count from there. Without an offset it is in the caller's zone: a time that occurs twice means the first one, and a
    /// skipped time is moved later by the length of the gap. A time after the last timestamp, such as .NET's maximum, becomes
    /// that timestamp.
    pub fn parse(&self, text: &str) -> Option<Option<Timestamp>> {
        let text = text.trim();
        let (before_christ, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (seconds, rest) = text.split_at_checked(SECONDS.len())?;
        let (fraction, suffix) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
        let local = local(seconds, nanosecond(fraction)?)?;
        let offset = if suffix.is_empty() { None } else { Some(offset(suffix)?) };
        if before_christ || local.year() <= 1 {
            return Some(None);
        }
        let at = match offset {
            Some(offset) => offset.to_timestamp(local),
            None => self.zone().rules().to_timestamp(local),
        };
        if local == EPOCH || at.as_ref().is_ok_and(|at| *at == Timestamp::UNIX_EPOCH) {
            return Some(None);
        }
        // Callers hand back the last second with as much of the fraction as their types can store.
        let at = at.ok().filter(|at| at.as_second() < Timestamp::MAX.as_second());
        Some(Some(at.unwrap_or(Timestamp::MAX)))
    }
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Truncated to .NET's ticks, a tenth of a microsecond.
fn in_ticks(at: Timestamp) -> Timestamp {
    at - SignedDuration::from_nanos(i64::from(at.subsec_nanosecond().rem_euclid(100)))
}

/// The shape of a date-time up to its seconds.
const SECONDS: &str = "0000-00-00T00:00:00";

fn local(seconds: &str, nanosecond: i32) -> Option<DateTime> {
    if !has_shape(seconds, SECONDS) {
        return None;
    }
    let (year, month, day) = (seconds[..4].parse().ok()?, two_digits(seconds, 5)?, two_digits(seconds, 8)?);
    let (hour, minute, second) = (two_digits(seconds, 11)?, two_digits(seconds, 14)?, two_digits(seconds, 17)?);
    if (hour, minute, second, nanosecond) == (24, 0, 0, 0) {
        return Some(DateTime::new(year, month, day, 0, 0, 0, 0).ok()?.saturating_add(1.day()));
    }
    DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()
}

/// From an empty text or a text such as `.25`; digits after the ninth are ignored.
fn nanosecond(fraction: &str) -> Option<i32> {
    if fraction.is_empty() {
        return Some(0);
    }
    let digits = fraction.strip_prefix('.').filter(|digits| !digits.is_empty())?;
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| format!("{digits:0<9.9}").parse().ok())?
}

/// `Z`, `+02:00`, or `+0200` as the documentation of SuperOffice prints it.
fn offset(suffix: &str) -> Option<Offset> {
    if suffix == "Z" {
        return Some(Offset::UTC);
    }
    let (sign, time) = match suffix.strip_prefix('-') {
        Some(time) => (-1, time),
        None => (1, suffix.strip_prefix('+')?),
    };
    if !has_shape(time, "00:00") && !has_shape(time, "0000") {
        return None;
    }
    let (hours, minutes) = (i32::from(two_digits(time, 0)?), i32::from(two_digits(time, time.len() - 2)?));
    let within = minutes < 60 && hours * 60 + minutes <= 14 * 60;
    within.then(|| Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok())?
}

/// `0` in the shape is any digit.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, shape): (u8, u8)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    text.len() == shape.len() && zip(text.bytes(), shape.bytes()).all(fits)
}

fn two_digits(text: &str, at: usize) -> Option<i8> {
    text.get(at..at + 2)?.parse().ok()
}

/// First the zones with a code of their own, then the zones of parts of countries, by country and zone.
macro_rules! zones {
    (
        $($code:ident $(= $id:literal)? $iana:literal),+;
        $($country:ident { $($part_iana:literal: $($part:tt $(= $part_id:literal)?),+;)+ })+
    ) => {
        &[
            $(Zone { id: zones!(@id $($id)?), code: stringify!($code), iana: $iana },)+
            $($($(Zone {
                id: zones!(@id $($part_id)?),
                code: concat!(stringify!($country), "-", stringify!($part)),
                iana: $part_iana,
            },)+)+)+
        ]
    };
    (@id $id:literal) => { $id };
    (@id) => { 0 };
}

/// The zone of date-times unless the caller names another.
const BASE: &Zone = &ZONES[0];

/// SuperOffice has published only these numbers. It builds the codes from countries and their parts; the zone of a code follows
/// from `zone.tab` of the IANA time zone database. A country with one time nearly everywhere has a code of its own, and its parts
/// with another time have codes of their own.
static ZONES: &[Zone] = zones! {
    UTC = 1 "UTC",
    AD "Europe/Andorra", AE "Asia/Dubai", AF "Asia/Kabul", AG "America/Antigua", AI "America/Anguilla",
    AL "Europe/Tirane", AM "Asia/Yerevan", AO "Africa/Luanda", AR "America/Argentina/Buenos_Aires",
    AS "Pacific/Pago_Pago", AT "Europe/Vienna", AW "America/Aruba", AX "Europe/Mariehamn", AZ "Asia/Baku",
    BA "Europe/Sarajevo", BB "America/Barbados", BD = 50 "Asia/Dhaka", BE "Europe/Brussels", BF "Africa/Ouagadougou",
    BG "Europe/Sofia", BH "Asia/Bahrain", BI "Africa/Bujumbura", BJ "Africa/Porto-Novo", BL "America/St_Barthelemy",
    BM "Atlantic/Bermuda", BN "Asia/Brunei", BO "America/La_Paz", BQ "America/Kralendijk", BS "America/Nassau",
    BT "Asia/Thimphu", BW "Africa/Gaborone", BY "Europe/Minsk", BZ "America/Belize",
    CC "Indian/Cocos", CF "Africa/Bangui", CG "Africa/Brazzaville", CH "Europe/Zurich", CI "Africa/Abidjan",
    CK "Pacific/Rarotonga", CL "America/Santiago", CM "Africa/Douala", CN "Asia/Shanghai", CO "America/Bogota",
    CR "America/Costa_Rica", CU "America/Havana", CV "Atlantic/Cape_Verde", CW "America/Curacao", CX "Indian/Christmas",
    CY "Asia/Nicosia", CZ "Europe/Prague",
    DE "Europe/Berlin", DJ "Africa/Djibouti", DK = 140 "Europe/Copenhagen", DM "America/Dominica",
    DO "America/Santo_Domingo", DZ "Africa/Algiers",
    EC "America/Guayaquil", EE "Europe/Tallinn", EG "Africa/Cairo", EH "Africa/El_Aaiun", ER "Africa/Asmara",
    ES "Europe/Madrid", ET "Africa/Addis_Ababa",
    FI "Europe/Helsinki", FJ "Pacific/Fiji", FK "Atlantic/Stanley", FO "Atlantic/Faroe", FR = 156 "Europe/Paris",
    GA "Africa/Libreville", GB "Europe/London", GD "America/Grenada", GE "Asia/Tbilisi", GF "America/Cayenne",
    GG "Europe/Guernsey", GH "Africa/Accra", GI "Europe/Gibraltar", GL "America/Nuuk", GM "Africa/Banjul",
    GN "Africa/Conakry", GP "America/Guadeloupe", GQ "Africa/Malabo", GR "Europe/Athens", GS "Atlantic/South_Georgia",
    GT "America/Guatemala", GU "Pacific/Guam", GW "Africa/Bissau", GY "America/Guyana",
    HK "Asia/Hong_Kong", HN "America/Tegucigalpa", HR "Europe/Zagreb", HT "America/Port-au-Prince",
    HU "Europe/Budapest",
    IE "Europe/Dublin", IL "Asia/Jerusalem", IM "Europe/Isle_of_Man", IN "Asia/Kolkata", IO "Indian/Chagos",
    IQ "Asia/Baghdad", IR "Asia/Tehran", IS "Atlantic/Reykjavik", IT "Europe/Rome",
    JE "Europe/Jersey", JM "America/Jamaica", JO "Asia/Amman", JP "Asia/Tokyo",
    KE "Africa/Nairobi", KG "Asia/Bishkek", KH "Asia/Phnom_Penh", KI "Pacific/Tarawa", KM "Indian/Comoro",
    KN "America/St_Kitts", KP "Asia/Pyongyang", KR "Asia/Seoul", KW "Asia/Kuwait", KY "America/Cayman",
    KZ "Asia/Almaty",
    LA "Asia/Vientiane", LB "Asia/Beirut", LC "America/St_Lucia", LI "Europe/Vaduz", LK "Asia/Colombo",
    LR "Africa/Monrovia", LS "Africa/Maseru", LT "Europe/Vilnius", LU "Europe/Luxembourg", LV "Europe/Riga",
    LY "Africa/Tripoli",
    MA "Africa/Casablanca", MC "Europe/Monaco", MD "Europe/Chisinau", ME "Europe/Podgorica", MF "America/Marigot",
    MG "Indian/Antananarivo", MH "Pacific/Majuro", MK "Europe/Skopje", ML "Africa/Bamako", MM "Asia/Yangon",
    MN "Asia/Ulaanbaatar", MO "Asia/Macau", MP "Pacific/Saipan", MQ "America/Martinique", MR "Africa/Nouakchott",
    MS "America/Montserrat", MT "Europe/Malta", MU "Indian/Mauritius", MV "Indian/Maldives", MW "Africa/Blantyre",
    MY "Asia/Kuala_Lumpur", MZ "Africa/Maputo",
    NA "Africa/Windhoek", NC "Pacific/Noumea", NE "Africa/Niamey", NF "Pacific/Norfolk", NG "Africa/Lagos",
    NI "America/Managua", NL "Europe/Amsterdam", NO = 261 "Europe/Oslo", NP "Asia/Kathmandu", NR "Pacific/Nauru",
    NU "Pacific/Niue", NZ "Pacific/Auckland",
    OM "Asia/Muscat",
    PA "America/Panama", PE "America/Lima", PF "Pacific/Tahiti", PG "Pacific/Port_Moresby", PH "Asia/Manila",
    PK "Asia/Karachi", PL "Europe/Warsaw", PM "America/Miquelon", PN "Pacific/Pitcairn", PR "America/Puerto_Rico",
    PS "Asia/Hebron", PT "Europe/Lisbon", PW "Pacific/Palau", PY "America/Asuncion",
    QA "Asia/Qatar",
    RE "Indian/Reunion", RO "Europe/Bucharest", RS "Europe/Belgrade", RW "Africa/Kigali",
    SA "Asia/Riyadh", SB "Pacific/Guadalcanal", SC "Indian/Mahe", SD "Africa/Khartoum", SE "Europe/Stockholm",
    SG "Asia/Singapore", SH "Atlantic/St_Helena", SI "Europe/Ljubljana", SJ "Arctic/Longyearbyen",
    SK "Europe/Bratislava", SL "Africa/Freetown", SM "Europe/San_Marino", SN "Africa/Dakar", SO "Africa/Mogadishu",
    SR "America/Paramaribo", SS "Africa/Juba", ST "Africa/Sao_Tome", SV "America/El_Salvador",
    SX "America/Lower_Princes", SY "Asia/Damascus", SZ "Africa/Mbabane",
    TC "America/Grand_Turk", TD "Africa/Ndjamena", TF "Indian/Kerguelen", TG "Africa/Lome", TH "Asia/Bangkok",
    TJ "Asia/Dushanbe", TK "Pacific/Fakaofo", TL "Asia/Dili", TM "Asia/Ashgabat", TN "Africa/Tunis",
    TO "Pacific/Tongatapu", TR "Europe/Istanbul", TT "America/Port_of_Spain", TV "Pacific/Funafuti", TW "Asia/Taipei",
    TZ "Africa/Dar_es_Salaam",
    UA "Europe/Kyiv", UG "Africa/Kampala", UK "Europe/London", UY "America/Montevideo", UZ "Asia/Tashkent",
    VA "Europe/Vatican", VC "America/St_Vincent", VE "America/Caracas", VG "America/Tortola", VI "America/St_Thomas",
    VN "Asia/Ho_Chi_Minh", VU "Pacific/Efate",
    WF "Pacific/Wallis", WS "Pacific/Apia",
    YE "Asia/Aden", YT "Indian/Mayotte",
    ZA "Africa/Johannesburg", ZM "Africa/Lusaka", ZW "Africa/Harare";
    AU {
        "Australia/Adelaide": SA; "Australia/Brisbane": QLD; "Australia/Darwin": NT; "Australia/Hobart": TAS;
        "Australia/Melbourne": VIC; "Australia/Perth": WA; "Australia/Sydney": ACT = 36, NSW;
    }
    BR {
        "America/Araguaina": TO; "America/Bahia": BA; "America/Belem": AP, PA; "America/Boa_Vista": RR;
        "America/Campo_Grande": MS; "America/Cuiaba": MT; "America/Fortaleza": CE, MA, PB, PI, RN;
        "America/Maceio": AL, SE; "America/Manaus": AM; "America/Porto_Velho": RO; "America/Recife": PE;
        "America/Rio_Branco": AC;
        "America/Sao_Paulo": DF, ES, GO, MG, PR, RJ, RS, SC, SP;
    }
    CA {
        "America/Edmonton": AB, NT; "America/Halifax": NS, PE; "America/Iqaluit": NU; "America/Moncton": NB;
        "America/Regina": SK; "America/St_Johns": NL; "America/Toronto": ON, QC = 114; "America/Vancouver": BC;
        "America/Whitehorse": YT; "America/Winnipeg": MB;
    }
    CD {
        "Africa/Kinshasa": BC, EQ, KG, KL, KN, MN, MO, NU, SU, TU;
        "Africa/Lubumbashi": BU, HK, HL, HU, IT, KC, KE, KS, LO, LU, MA, NK, SA, SK, TA, TO;
    }
    CL { "America/Coyhaique": AI; "America/Punta_Arenas": MA; }
    EC { "Pacific/Galapagos": W; }
    ES { "Africa/Ceuta": CE, ML; "Atlantic/Canary": CN; }
    FM { "Pacific/Chuuk": TRK, YAP; "Pacific/Kosrae": KSA; "Pacific/Pohnpei": PNI; }
    ID {
        "Asia/Pontianak": KB, KT;
        "Asia/Jakarta": AC, BB, BE, BT, JA, JB, JI, JK, JT, JW, KR, LA, RI, SB, SM, SS, SU, YO;
        "Asia/Jayapura": MA, ML, MU, PA, PB, PD, PE, PP, PS, PT;
        "Asia/Makassar": BA, GO, KI, KS, KU, NB, NT, NU, SA, SG, SL, SN, SR, ST;
    }
    KI { "Pacific/Kanton": P; "Pacific/Kiritimati": L; "Pacific/Tarawa": G; }
    MN { "Asia/Hovd": 043, 046, 071; }
    MX {
        "America/Cancun": ROO; "America/Chihuahua": CHH; "America/Hermosillo": SON; "America/Mazatlan": BCS, NAY, SIN;
        "America/Merida": CAM, YUC; "America/Monterrey": COA, DUR, NLE, TAM; "America/Tijuana": BCN;
        "America/Mexico_City": AGU, CHP, CMX, COL, GRO, GUA, HID, JAL, MEX, MIC, MOR, OAX, PUE, QUE, SLP, TAB, TLA, VER,
            ZAC;
    }
    NZ { "Pacific/Chatham": CIT; }
    PG { "Pacific/Bougainville": NSB; }
    PT { "Atlantic/Azores": 20; "Atlantic/Madeira": 30; }
    RU {
        "Asia/Anadyr": CHU; "Asia/Barnaul": AL, ALT; "Asia/Chita": ZAB; "Asia/Irkutsk": BU, IRK; "Asia/Kamchatka": KAM;
        "Asia/Krasnoyarsk": KK, KYA, TY; "Asia/Magadan": MAG; "Asia/Novokuznetsk": KEM; "Asia/Novosibirsk": NVS;
        "Asia/Omsk": OMS; "Asia/Sakhalin": SAK; "Asia/Tomsk": TOM; "Asia/Vladivostok": KHA, PRI, YEV;
        "Asia/Yakutsk": AMU, SA; "Europe/Astrakhan": AST; "Europe/Kaliningrad": KGD; "Europe/Kirov": KIR;
        "Europe/Samara": SAM, UD; "Europe/Saratov": SAR; "Europe/Ulyanovsk": ULY; "Europe/Volgograd": VGG;
        "Asia/Yekaterinburg": BA, CHE, KGN, KHM, ORE, PER, SVE, TYU, YAN;
        "Europe/Moscow": AD, ARK, BEL, BRY, CE, CU, DA, IN, IVA, KB, KC, KDA, KL, KLU, KO, KOS, KR, KRS, LEN, LIP, ME,
            MO, MOS, MOW, MUR, NEN, NGR, NIZ, ORL, PNZ, PSK, ROS, RYA, SE, SMO, SPE, STA, TA, TAM, TUL, TVE, VLA, VLG,
            VOR, YAR;
    }
    US {
        "America/Anchorage": AK; "America/Boise": ID; "America/Denver": CO, MT, NM, UT, WY; "America/Detroit": MI;
        "America/Indiana/Indianapolis": IN; "America/Los_Angeles": CA = 425, NV, OR, WA; "America/Phoenix": AZ;
        "Pacific/Honolulu": HI = 433;
        "America/Chicago": AL, AR, IA, IL, KS, LA, MN, MO, MS, ND, NE, OK, SD, TN, TX, WI;
        "America/New_York": CT, DC, DE, FL, GA, KY, MA, MD, ME, NC, NH, NJ, NY = 460, OH, PA, RI, SC, VA, VT, WV;
    }
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Accepts `MIN` and `MAX` too.
    fn at(text: &str) -> Timestamp {
        match text {
            "MIN" => Timestamp::MIN,
            "MAX" => Timestamp::MAX,
            _ => text.parse().unwrap(),
        }
    }

    #[test]
    fn every_zone_is_found_and_has_rules() {
        let mut ids = BTreeSet::new();
        for zone in ZONES {
            assert!(TimeZone::get(zone.iana).is_ok(), "{zone:?}");
            let code = zone.code;
            assert!(code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'), "{code}");
            // The same zone, so no code occurs twice.
            for spelling in [code, &code.to_lowercase(), &format!(" {code}\t")] {
                assert!(Zone::by_code(spelling).is_some_and(|found| std::ptr::eq(found, zone)), "{code}");
            }
            if zone.id != 0 {
                assert!(ids.insert(zone.id), "{zone:?}");
                assert_eq!(Zone::by_id(zone.id), Some(zone));
            }
        }
        assert_eq!(BASE.code, "UTC");
        assert_eq!(ids, BTreeSet::from([1, 36, 50, 114, 140, 156, 261, 425, 433, 460]));
        for id in [0, -1, 2, i32::MIN, i32::MAX] {
            assert_eq!(Zone::by_id(id), None);
        }
        for code in ["", "XX", "US", "NO-03", "Europe/Oslo", "N O", "NØ"] {
            assert_eq!(Zone::by_code(code), None);
        }
    }

    /// Standard time and daylight saving time, from the vendor's list of numbers.
    #[test]
    fn published_numbers_have_the_published_offsets() {
        for (id, code, january, july) in [
            (1, "UTC", "Z", "Z"),
            (36, "AU-ACT", "+11:00", "+10:00"),
            (50, "BD", "+06:00", "+06:00"),
            (114, "CA-QC", "-05:00", "-04:00"),
            (140, "DK", "+01:00", "+02:00"),
            (156, "FR", "+01:00", "+02:00"),
            (261, "NO", "+01:00", "+02:00"),
            (425, "US-CA", "-08:00", "-07:00"),
            (433, "US-HI", "-10:00", "-10:00"),
            (460, "US-NY", "-05:00", "-04:00"),
        ] {
            let dates = DateForm::of_header(&format!("{id},includeTZOffset"));
            assert_eq!((dates.zone().id, dates.zone().code), (id, code));
            for (instant, suffix) in [("2022-01-15T12:00:00Z", january), ("2022-07-15T12:00:00Z", july)] {
                let text = dates.text(Some(at(instant)));
                assert!(text.ends_with(suffix), "{code} {text}");
                assert_eq!(dates.parse(&text), Some(Some(at(instant))), "{code}");
            }
        }
    }

    #[test]
    fn date_times_are_written_as_asked_for() {
        for (header, instant, text) in [
            // No zone: the base zone, which is UTC.
            ("", "2022-08-26T08:55:09Z", "2022-08-26T08:55:09Z"),
            ("includeTZOffset", "2022-08-26T08:55:09Z", "2022-08-26T08:55:09Z"),
            ("XX", "2022-08-26T08:55:09Z", "2022-08-26T08:55:09Z"),
            ("UTC", "2022-08-26T08:55:09Z", "2022-08-26T08:55:09"),
            ("UTC,includeTZOffset", "2022-08-26T08:55:09Z", "2022-08-26T08:55:09Z"),
            ("NO", "2022-08-26T08:55:09Z", "2022-08-26T10:55:09"),
            ("NO,includeTZOffset", "2022-08-26T08:55:09Z", "2022-08-26T10:55:09+02:00"),
            // UTC in winter, but not the zone of that name.
            ("GB,includeTZOffset", "2022-01-26T08:55:09Z", "2022-01-26T08:55:09+00:00"),
            ("NP,includeTZOffset", "2022-08-26T08:55:09Z", "2022-08-26T14:40:09+05:45"),
            ("CA-NL,includeTZOffset", "2022-08-26T00:55:09Z", "2022-08-25T22:25:09-02:30"),
            // Both clock changes of a year, and the second before each.
            ("NO,includeTZOffset", "2022-03-27T00:59:59Z", "2022-03-27T01:59:59+01:00"),
            ("NO,includeTZOffset", "2022-03-27T01:00:00Z", "2022-03-27T03:00:00+02:00"),
            ("NO,includeTZOffset", "2022-10-30T00:59:59Z", "2022-10-30T02:59:59+02:00"),
            ("NO,includeTZOffset", "2022-10-30T01:00:00Z", "2022-10-30T02:00:00+01:00"),
            ("US-NY,includeTZOffset", "2022-03-13T06:59:59Z", "2022-03-13T01:59:59-05:00"),
            ("US-NY,includeTZOffset", "2022-03-13T07:00:00Z", "2022-03-13T03:00:00-04:00"),
            ("US-NY,includeTZOffset", "2022-11-06T05:59:59Z", "2022-11-06T01:59:59-04:00"),
            ("US-NY,includeTZOffset", "2022-11-06T06:00:00Z", "2022-11-06T01:00:00-05:00"),
            // Long after the rules were made.
            ("NO", "2345-01-15T12:00:00Z", "2345-01-15T13:00:00"),
            ("NO", "2345-07-15T12:00:00Z", "2345-07-15T14:00:00"),
            // Fractions, down to a tick.
            ("", "2001-07-15T01:45:28.8109239Z", "2001-07-15T01:45:28.8109239Z"),
            ("NO,includeTZOffset", "2001-07-15T01:45:28.8109239Z", "2001-07-15T03:45:28.8109239+02:00"),
            ("NO", "2001-07-15T01:45:28.25Z", "2001-07-15T03:45:28.25"),
            ("", "2001-07-15T01:45:28.810923999Z", "2001-07-15T01:45:28.8109239Z"),
            ("", "2001-07-15T01:45:28.000000099Z", "2001-07-15T01:45:28Z"),
            ("", "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.9999999Z"),
            // Before there were time zones; the offset was -04:56:02.
            ("US-NY", "1880-01-01T12:00:00Z", "1880-01-01T07:03:58"),
            ("US-NY,includeTZOffset", "1880-01-01T12:00:00Z", "1880-01-01T07:04:00-04:56"),
            // The ends.
            ("", "MAX", "9999-12-30T22:00:00.9999999Z"),
            ("NO", "MAX", "9999-12-30T23:00:00.9999999"),
            ("", "0002-01-01T00:00:00Z", "0002-01-01T00:00:00Z"),
            ("US-NY", "0002-01-01T00:00:00Z", ZERO),
            ("", "0001-07-01T00:00:00Z", ZERO),
            ("", "MIN", ZERO),
        ] {
            assert_eq!(DateForm::of_header(header).text(Some(at(instant))), text, "{header} {instant}");
        }
    }

    #[test]
    fn every_zone_writes_the_zero_date_and_the_ends_of_time() {
        for zone in ZONES {
            for with_offset in [false, true] {
                let dates = DateForm { zone: Some(zone), with_offset };
                assert_eq!(dates.text(None), ZERO, "{zone:?}");
                assert_eq!(dates.text(Some(Timestamp::MIN)), ZERO, "{zone:?}");
                assert!(dates.text(Some(Timestamp::MAX)).starts_with("9999-12-3"), "{zone:?}");
                assert_eq!(dates.parse(ZERO), Some(None), "{zone:?}");
                assert_eq!(dates.parse("9999-12-31T23:59:59.9999999"), Some(Some(Timestamp::MAX)), "{zone:?}");
            }
        }
        assert_eq!(DateForm::base().text(None), ZERO);
    }

    #[test]
    fn headers_name_a_zone_an_offset_or_both() {
        for (header, code, asked, with_offset) in [
            ("NO", "NO", true, false),
            ("us-ny", "US-NY", true, false),
            (" 261 ", "NO", true, false),
            ("UTC", "UTC", true, false),
            ("1", "UTC", true, false),
            ("NO, includeTZOffset", "NO", true, true),
            ("NO,includetzoffset", "NO", true, true),
            ("INCLUDETZOFFSET , 460", "US-NY", true, true),
            ("includeTZOffset", "UTC", false, true),
            ("XX,includeTZOffset", "UTC", false, true),
            ("XX", "UTC", false, false),
            ("0", "UTC", false, false),
            ("99999999999", "UTC", false, false),
            ("NO includeTZOffset", "UTC", false, false),
            ("", "UTC", false, false),
            (",", "UTC", false, false),
        ] {
            let dates = DateForm::of_header(header);
            let found = (dates.zone().code, dates.zone.is_some(), dates.with_offset);
            assert_eq!(found, (code, asked, with_offset), "{header:?}");
        }
    }

    #[test]
    fn of_the_soap_header_the_code_comes_first() {
        for (id, code, zone) in [
            (None, None, None),
            (Some(261), None, Some("NO")),
            (None, Some("dk"), Some("DK")),
            (Some(261), Some("DK"), Some("DK")),
            (Some(261), Some("XX"), Some("NO")),
            (Some(261), Some(""), Some("NO")),
            (Some(0), Some("SE"), Some("SE")),
            (Some(0), Some("XX"), None),
            (Some(-1), None, None),
        ] {
            let dates = DateForm::of_soap(id, code);
            assert_eq!((dates.zone.map(|z| z.code), dates.with_offset), (zone, false), "{id:?} {code:?}");
        }
    }

    #[test]
    fn date_times_are_read() {
        for (header, text, instant) in [
            ("", "2022-08-26T08:55:09Z", "2022-08-26T08:55:09Z"),
            ("", "\r\n 2022-08-26T08:55:09 \t", "2022-08-26T08:55:09Z"),
            ("NO", "2022-08-26T10:55:09", "2022-08-26T08:55:09Z"),
            // An offset takes precedence over the requested zone.
            ("NO", "2022-08-26T08:55:09Z", "2022-08-26T08:55:09Z"),
            ("NO", "2022-08-26T08:55:09-05:30", "2022-08-26T14:25:09Z"),
            ("US-NY", "2018-12-24T07:34:45-0500", "2018-12-24T12:34:45Z"),
            ("", "2022-08-26T08:55:09+14:00", "2022-08-25T18:55:09Z"),
            ("", "2022-08-26T08:55:09.5Z", "2022-08-26T08:55:09.5Z"),
            ("NO", "2001-07-15T03:45:28.8109239", "2001-07-15T01:45:28.8109239Z"),
            ("", "2001-07-15T01:45:28.123456789999999Z", "2001-07-15T01:45:28.123456789Z"),
            ("", "2020-02-29T24:00:00Z", "2020-03-01T00:00:00Z"),
            // A skipped time, and one that occurs twice.
            ("NO", "2022-03-27T02:30:00", "2022-03-27T01:30:00Z"),
            ("NO", "2022-10-30T02:30:00", "2022-10-30T00:30:00Z"),
            ("US-NY", "2022-03-13T02:00:00", "2022-03-13T07:00:00Z"),
            ("US-NY", "2022-11-06T01:59:59", "2022-11-06T05:59:59Z"),
            // After the last timestamp.
            ("", "9999-12-31T23:59:59.9999999", "MAX"),
            ("", "9999-12-31T23:59:59.9999999Z", "MAX"),
            ("", "9999-12-31T23:59:59.9999999+14:00", "MAX"),
            ("NO", "9999-12-31T00:00:00-14:00", "MAX"),
            ("", "9999-12-31T24:00:00Z", "MAX"),
        ] {
            assert_eq!(DateForm::of_header(header).parse(text), Some(Some(at(instant))), "{header} {text}");
        }
        for zero in [ZERO, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.0000000-14:00", "0001-12-31T23:59:59+01:00"]
            .into_iter()
            .chain(["0000-01-01T00:00:00", "-0001-01-01T00:00:00Z", " -4713-11-24T12:00:00 "])
        {
            assert_eq!(DateForm::of_header("US-NY").parse(zero), Some(None), "{zero}");
        }
        for (header, zero) in [
            ("", "1970-01-01T00:00:00"),
            ("", "1970-01-01T00:00:00Z"),
            ("", "1970-01-01T00:00:00.000Z"),
            ("", "1970-01-01T00:00:00+01:00"),
            ("", "1970-01-01T01:00:00+01:00"),
            ("", "1969-12-31T19:00:00-05:00"),
            ("US-NY", "1970-01-01T00:00:00"),
            ("US-NY", "1969-12-31T19:00:00"),
        ] {
            assert_eq!(DateForm::of_header(header).parse(zero), Some(None), "{header} {zero}");
        }
        for (header, date) in
            [("", "1970-01-01T00:00:01Z"), ("US-NY", "1970-01-01T01:00:00"), ("", "1969-12-31T23:59:59Z")]
        {
            assert!(matches!(DateForm::of_header(header).parse(date), Some(Some(_))), "{header} {date}");
        }
    }

    #[test]
    fn what_is_not_a_date_time_is_not_read() {
        for text in "
            2022 2022-08-26 2022-08-26T 08:55:09 2022-08-26T08:55 2022-08-26t08:55:09 2022-8-26T08:55:09
            20220826T085509 2022-08-26_08:55:09 +2022-08-26T08:55:09 --2022-08-26T08:55:09 12022-08-26T08:55:09
            2022-02-29T00:00:00 2022-13-01T00:00:00 2022-00-01T00:00:00 2022-08-26T25:00:00 2022-08-26T24:00:01
            2022-08-26T08:60:00 2022-08-26T23:59:60 0001-13-01T00:00:00 0001-01-01T00:00:00x 0001-01-01T00:00:00+99:00
            2022-08-26T08:55:09. 2022-08-26T08:55:09.Z 2022-08-26T08:55:09,5 2022-08-26T08:55:09.5e1
            2022-08-26T08:55:09z 2022-08-26T08:55:09ZZ 2022-08-26T08:55:09Z0000 2022-08-26T08:55:09+
            2022-08-26T08:55:09+2 2022-08-26T08:55:09+02 2022-08-26T08:55:09+02:0 2022-08-26T08:55:09+02:60
            2022-08-26T08:55:09+14:01 2022-08-26T08:55:09-15:00 2022-08-26T08:55:09+-2:00 2022-08-26T08:55:09é
            2022-08-26T08:55:0é 2022-08-26T08:55:é ２０22-08-26T08:55:09 2022-08-26T08:55:09[UTC] now"
            .split_whitespace()
            .chain(["", " ", "2022-08-26 08:55:09", "2022-08-26T08:55:09 Z"])
        {
            assert_eq!(DateForm::base().parse(text), None, "{text}");
        }
    }
}
