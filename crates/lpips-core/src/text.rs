//! Serde as text, by `Display` and `FromStr`.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::device::DeviceChoice;
use crate::loss::LossKind;
use crate::version::Version;

/// Serializes a value as its text.
pub(crate) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Deserializes a value from its text.
pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize(self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                deserialize(from)
            }
        }
    )*};
}

as_text!(DeviceChoice, LossKind, Version);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enums_serialize_as_their_text() {
        assert_eq!(serde_json::to_string(&Version::V0_0).unwrap(), r#""0.0""#);
        assert_eq!(serde_json::to_string(&DeviceChoice::Cuda(1)).unwrap(), r#""cuda:1""#);
        assert_eq!(serde_json::from_str::<LossKind>(r#""mlp""#).unwrap(), LossKind::Mlp);
        let error = serde_json::from_str::<Version>(r#""0.7""#).unwrap_err().to_string();
        assert!(error.contains("choose 0.1 or 0.0"), "{error}");
    }
}
