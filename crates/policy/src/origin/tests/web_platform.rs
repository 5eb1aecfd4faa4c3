//! The origins of web-platform-tests' `urltestdata.json`.

use super::super::*;
use super::restriction;

#[derive(Debug)]
struct Data {
    origins: Vec<(String, String)>,
    failures: Vec<String>,
}

fn data() -> Data {
    let json: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../tests/data/url_origins.json")).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let list = |name: &str| json.get(name).and_then(serde_json::Value::as_array).expect(name).clone();
    let pair = |pair: &serde_json::Value| (text(&pair[0]), text(&pair[1]));
    Data {
        origins: list("origins").iter().map(pair).collect(),
        failures: list("failures").iter().map(text).collect(),
    }
}

#[test]
fn serialised_origins_parse_unless_restricted() {
    let (mut accepted, mut refused) = (0, 0);
    for (_, origin) in data().origins.iter().filter(|(_, origin)| origin != "null") {
        match restriction(origin) {
            None => {
                assert_eq!(Origin::parse(origin).map(|parsed| parsed.as_str()), Ok(origin.as_str()));
                accepted += 1;
            }
            Some(error) => {
                assert_eq!(Origin::parse(origin), Err(error), "{origin}");
                refused += 1;
            }
        }
    }
    assert!(accepted > 150 && refused >= 5, "{accepted} {refused}");
}

/// Each `href` is what a browser would make a `Referer` of, once userinfo and fragment are cut.
#[test]
fn hrefs_as_referrers() {
    let (mut accepted, mut refused) = (0, 0);
    for (href, origin) in data().origins {
        let authority =
            href.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap());
        let found = Origin::parse_referer(href.as_bytes()).map(|parsed| parsed.as_str().to_owned());
        let own_origin =
            !["blob:", "file:", "about:", "data:", "javascript:"].iter().any(|s| href.starts_with(s));
        let expected = if href.starts_with("file:///") {
            Some(OriginError::LocalFile)
        } else if !own_origin {
            Some(OriginError::OpaqueScheme)
        } else if origin == "null" {
            // The standard gives other schemes no origin; apps use them as one, so some parse, never as a site.
            assert!(
                found.is_err() || !["http:", "https:"].iter().any(|site| href.starts_with(site)),
                "{href}"
            );
            continue;
        } else if authority.contains('@') {
            Some(OriginError::Userinfo)
        } else {
            restriction(&origin)
        };
        match expected {
            None => {
                assert_eq!(found.as_deref(), Ok(origin.as_str()), "{href}");
                accepted += 1;
            }
            Some(error) => {
                assert_eq!(found, Err(error), "{href}");
                refused += 1;
            }
        }
    }
    assert!(accepted > 100 && refused > 30, "{accepted} {refused}");
}

#[test]
fn what_is_no_url_has_no_origin() {
    for input in data().failures {
        assert!(Origin::parse(&input).is_err(), "{input:?}");
        assert!(Origin::parse_referer(input.as_bytes()).is_err(), "{input:?}");
    }
}
