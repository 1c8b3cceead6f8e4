//! How a catalogue is written: `name = "English" | "German";`, and `name(n: i64) = "{n} …" | "{n} …";` for a sentence with values.

macro_rules! words {
    ($($name:ident $(($($value:ident: $type:ty),*))? = $english:literal | $german:literal;)*) => {
        impl super::Words {
            $(words!(@sentence $name $(($($value: $type),*))? $english $german);)*
        }
    };
    (@sentence $name:ident $english:literal $german:literal) => {
        pub(in crate::admin) fn $name(self) -> &'static str {
            match self {
                super::Words::English => $english,
                super::Words::German => $german,
            }
        }
    };
    (@sentence $name:ident ($($value:ident: $type:ty),*) $english:literal $german:literal) => {
        pub(in crate::admin) fn $name(self, $($value: $type),*) -> String {
            match self {
                super::Words::English => format!($english),
                super::Words::German => format!($german),
            }
        }
    };
}
