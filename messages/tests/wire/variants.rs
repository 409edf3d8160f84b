//! A list of variants that asks for what is missing.

/// Lists the variants of an enum in a match without `_`: a new one does not compile until it is listed here, and fails
/// until it has a sample.
macro_rules! every_variant {
    ($(#[$doc:meta])* $check:ident, $name:ident, $type:ty, { $($pattern:pat => $label:literal,)* }) => {
        $(#[$doc])*
        pub fn $check(samples: &[$type]) {
            let labels: std::collections::BTreeSet<_> = samples.iter().map($name).collect();
            for label in [$($label),*] {
                assert!(labels.contains(label), "{} `{label}` has no sample, so its bytes are not frozen", stringify!($type));
            }
        }

        /// The fixture's name.
        pub fn $name(value: &$type) -> &'static str {
            match value {
                $($pattern => $label,)*
            }
        }
    };
}
