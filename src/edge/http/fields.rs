//! Header fields of a message: a list in the order of arrival. A message has about a dozen fields, so
//! scanning them costs less than the hashes of [`HeaderMap`], which is used only for libraries that require
//! it.

use std::borrow::Borrow;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Header fields, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// No fields, with room for `capacity` lines.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// The number of lines.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All lines.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The first line with this name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// All lines with this name.
    pub fn get_all(&self, name: impl Borrow<HeaderName>) -> impl Iterator<Item = &HeaderValue> {
        self.0.iter().filter(move |(own, _)| own == name.borrow()).map(|(_, value)| value)
    }

    /// Whether there is a line with this name.
    #[inline]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// Appends a line.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Sets a field: replaces all of its lines with one, or appends a line.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let mut lines = self.0.iter_mut().filter(|(own, _)| *own == name);
        let Some((_, first)) = lines.next() else { return self.append(name, value) };
        *first = value;
        if lines.next().is_some() {
            let mut is_first = true;
            self.0.retain(|(own, _)| *own != name || std::mem::take(&mut is_first));
        }
    }

    /// Removes all lines of a field.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|(own, _)| own != name);
    }

    /// Keeps only the lines for which `keeps` returns true.
    pub fn retain(&mut self, mut keeps: impl FnMut(&HeaderName, &HeaderValue) -> bool) {
        self.0.retain(|(name, value)| keeps(name, value));
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl IntoIterator for Fields {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::with_capacity(map.len());
        let mut last = None;
        for (name, value) in map {
            // Further lines of a field come without its name, directly after the first.
            last = name.or(last);
            if let Some(name) = &last {
                fields.append(name.clone(), value);
            }
        }
        fields
    }
}

impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        let mut map = Self::with_capacity(fields.count());
        for (name, value) in fields {
            map.append(name, value);
        }
        map
    }
}

#[cfg(test)]
impl Fields {
    /// Fields with these names and values.
    pub fn of(fields: &[(&'static str, &str)]) -> Self {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    /// The first line with this name, as text.
    pub fn text(&self, name: &'static str) -> Option<&str> {
        self.get(&HeaderName::from_static(name)).map(|value| value.to_str().unwrap())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few names, known and unknown ones, so that they meet.
    fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
        (0..4usize, 0..9u32).prop_map(|(name, value)| {
            let name = ["accept", "cookie", "x-a", "x-b"][name];
            (HeaderName::from_static(name), HeaderValue::from(value))
        })
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            lines in proptest::collection::vec(field(), 0..9), (set, value) in field(), (gone, _) in field(),
        ) {
            let mut fields: Fields = lines.iter().cloned().collect();
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(name, value);
            }
            for _ in 0..2 {
                prop_assert_eq!(fields.count(), map.len());
                for name in ["accept", "cookie", "x-a", "x-b"].map(HeaderName::from_static) {
                    prop_assert!(fields.get_all(&name).eq(map.get_all(&name)));
                    prop_assert_eq!(fields.get(&name), map.get(&name));
                    prop_assert_eq!(fields.contains(&name), map.contains_key(&name));
                }
                prop_assert_eq!(&HeaderMap::from(fields.clone()), &map);
                prop_assert_eq!(&HeaderMap::from(Fields::from(map.clone())), &map);
                fields.insert(set.clone(), value.clone());
                map.insert(set.clone(), value.clone());
                fields.remove(&gone);
                map.remove(&gone);
            }
        }
    }
}
