//! Reader of limits in a document: objects alone, whose fields may be `null`, and numbers from 1.
//!
//! The derived deserialisers would take an array of the fields' values for an object, and would call the numbers
//! "nonzero u32".

use std::fmt;
use std::num::NonZeroU32;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::{LimitMode, Limits, PartLimits};

/// What a limit is, for people.
const NUMBER: &str = "a whole number from 1 to 4294967295";
/// The same where somebody has written 0.
const NUMBER_FOR_ZERO: &str = "a whole number from 1 to 4294967295; without a limit, leave it out, and to let nobody in, set `enabled` to false";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsShape {
    mode: Option<LimitMode>,
    widget: Option<PartLimits>,
    embedder: Option<PartLimits>,
    address: Option<PartLimits>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartShape {
    sessions: Option<LimitNumber>,
    opens_per_minute: Option<LimitNumber>,
    opens_per_day: Option<LimitNumber>,
}

/// Number of one limit.
struct LimitNumber(NonZeroU32);

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LimitsVisitor;

        impl<'de> Visitor<'de> for LimitsVisitor {
            type Value = Limits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `widget`, `embedder` or `address`, such as {\"address\": {\"sessions\": 5}}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Limits, A::Error> {
                let shape = LimitsShape::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Limits {
                    mode: shape.mode.unwrap_or_default(),
                    widget: shape.widget.unwrap_or_default(),
                    embedder: shape.embedder.unwrap_or_default(),
                    address: shape.address.unwrap_or_default(),
                })
            }
        }

        deserializer.deserialize_map(LimitsVisitor)
    }
}

impl<'de> Deserialize<'de> for PartLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;

        impl<'de> Visitor<'de> for PartVisitor {
            type Value = PartLimits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with limits, such as {\"sessions\": 5, \"opens_per_minute\": 20}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PartLimits, A::Error> {
                let shape = PartShape::deserialize(MapAccessDeserializer::new(map))?;
                let number = |limit: Option<LimitNumber>| limit.map(|LimitNumber(number)| number);
                Ok(PartLimits {
                    sessions: number(shape.sessions),
                    opens_per_minute: number(shape.opens_per_minute),
                    opens_per_day: number(shape.opens_per_day),
                })
            }
        }

        deserializer.deserialize_map(PartVisitor)
    }
}

impl<'de> Deserialize<'de> for LimitNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = LimitNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(NUMBER)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<LimitNumber, E> {
                let expected = if number == 0 { NUMBER_FOR_ZERO } else { NUMBER };
                let limit = u32::try_from(number).ok().and_then(NonZeroU32::new).map(LimitNumber);
                limit.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &expected))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<LimitNumber, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &NUMBER)),
                }
            }
        }

        deserializer.deserialize_u64(NumberVisitor)
    }
}
