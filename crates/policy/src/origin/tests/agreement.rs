//! The strict parser against the `url` crate, an implementation of the URL standard of its own.

use proptest::prelude::*;
use url::Url;

use super::super::*;
use super::restriction;

/// What a browser would send for a page at `url`, if it has a tuple origin.
fn browser_origin(url: &str) -> Option<String> {
    let origin = Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// The text is exactly what some browser would send, within the documented restrictions.
fn is_serialised(text: &str) -> bool {
    browser_origin(text).is_some_and(|origin| origin == text && restriction(text).is_none())
}

fn agrees(text: &str) -> Result<(), TestCaseError> {
    match Origin::parse(text) {
        Ok(origin) if matches!(origin.scheme(), Scheme::Http | Scheme::Https) => {
            prop_assert!(is_serialised(text), "accepted {text:?}");
            prop_assert_eq!(origin.as_str(), text);
            let url = Url::parse(text).expect("checked");
            prop_assert_eq!(url.host_str(), Some(origin.host_str()));
            prop_assert_eq!(url.port(), origin.explicit_port());
            prop_assert_eq!(url.port_or_known_default(), origin.port());
            match (url.host(), origin.host()) {
                (Some(url::Host::Domain(theirs)), Host::Name(ours)) => prop_assert_eq!(theirs, ours),
                (Some(url::Host::Ipv4(theirs)), Host::Ipv4(ours)) => prop_assert_eq!(theirs, ours),
                (Some(url::Host::Ipv6(theirs)), Host::Ipv6(ours)) => prop_assert_eq!(theirs, ours),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        // The URL standard knows no origins of other schemes to compare with.
        Ok(origin) => prop_assert!(matches!(origin.scheme(), Scheme::Other(_))),
        Err(error) => prop_assert!(!is_serialised(text), "refused {text:?}: {error}"),
    }
    Ok(())
}

fn host() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        6 => "[a-z0-9_-]{1,8}",
        1 => "[a-zA-Z0-9]{1,4}",
        1 => "xn--[a-z0-9-]{0,8}",
        1 => "[a-zäöüßéñøåçاבгд日本한ñ°²①]{1,6}",
        1 => "[!$&'()*+;=~%{}|\"`]{1,2}",
        1 => "[0-9]{1,3}",
        1 => "0[xX][0-9a-f]{0,3}",
    ];
    let name = prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."));
    prop_oneof![
        6 => name.clone(),
        1 => (name, prop_oneof![Just(""), Just("."), Just("..")]).prop_map(|(name, end)| name + end),
        1 => any::<[u8; 4]>().prop_map(|address| std::net::Ipv4Addr::from(address).to_string()),
        1 => "[0-9]{1,3}(\\.[0-9]{1,3}){1,4}",
        1 => any::<u128>().prop_map(|address| format!("[{}]", std::net::Ipv6Addr::from(address))),
        1 => prop::collection::vec(prop_oneof![Just(0_u16), Just(1), Just(0xffff), any::<u16>()], 8).prop_map(
            |parts| {
                let parts: [u16; 8] = parts.try_into().expect("eight");
                format!("[{}]", std::net::Ipv6Addr::from(parts))
            }
        ),
        1 => Just("[::ffff:192.0.2.1]".to_owned()),
        1 => Just("[1:0:0:2::3]".to_owned()),
        1 => Just("localhost".to_owned()),
    ]
}

fn url() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![4 => Just("https"), 4 => Just("http"), 1 => Just("HTTPS")];
    let port = prop_oneof![
        4 => Just(String::new()),
        2 => any::<u16>().prop_map(|port| format!(":{port}")),
        1 => prop_oneof![Just(":80"), Just(":443"), Just(":0"), Just(":"), Just(":0080")].prop_map(str::to_owned),
    ];
    (scheme, host(), port).prop_map(|(scheme, host, port)| format!("{scheme}://{host}{port}"))
}

fn mutate(text: &str, at: usize, with: char, kind: u8) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = at % chars.len();
    match kind {
        0 => chars.insert(at, with),
        1 => chars[at] = with,
        2 => drop(chars.remove(at)),
        3 => chars.push(with),
        _ => chars[at] = chars[at].to_ascii_uppercase(),
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_browsers_serialise_is_accepted(url in url()) {
        if let Some(origin) = browser_origin(&url) {
            match restriction(&origin) {
                None => prop_assert_eq!(Origin::parse(&origin).map(|parsed| parsed.as_str()), Ok(origin.as_str())),
                Some(error) => prop_assert_eq!(Origin::parse(&origin), Err(error), "{}", origin),
            }
            let referer = format!("{origin}/Path;a,b/@?q=://");
            let found = Origin::parse_referer(referer.as_bytes()).map(|parsed| parsed.as_str().to_owned());
            prop_assert_eq!(found, Origin::parse(&origin).map(|parsed| parsed.as_str().to_owned()));
        }
        agrees(&url)?;
    }

    #[test]
    fn anything_else_is_refused(
        url in url(),
        at in any::<usize>(),
        with in prop_oneof![Just('.'), Just(':'), Just('/'), Just('@'), Just('['), Just(']'), Just('0'), Just('x'),
            Just('-'), Just(' '), Just('\t'), Just('\\'), Just('%'), Just('#'), Just('?'), Just(','), Just('\0'),
            Just('ü'), Just('。'), any::<char>()],
        kind in 0_u8..5,
    ) {
        let text = browser_origin(&url).unwrap_or(url);
        agrees(&mutate(&text, at, with, kind))?;
    }

    #[test]
    fn any_text_is_refused_or_canonical(text in "\\PC{0,40}", scheme in prop_oneof![Just(""), Just("http://"), Just("https://")]) {
        agrees(&format!("{scheme}{text}"))?;
    }

    #[test]
    fn what_follows_an_origin_is_not_looked_at(
        url in url(),
        mark in prop_oneof![Just(b'/'), Just(b'?'), Just(b'#')],
        rest in prop::collection::vec(prop_oneof![b' '..=0x7e, 0x80..=0xff_u8], 0..30),
        control in prop::option::weighted(0.2, (any::<usize>(), prop_oneof![0..=0x1f_u8, Just(0x7f)])),
    ) {
        let mut referer = [url.as_bytes(), &[mark], &rest].concat();
        let alone = Origin::parse_referer(url.as_bytes()).map(|origin| origin.as_str());
        prop_assert_eq!(alone, Origin::parse(&url).map(|origin| origin.as_str()), "{}", url);
        match control {
            None => prop_assert_eq!(Origin::parse_referer(&referer).map(|origin| origin.as_str()), alone),
            Some((at, byte)) => {
                referer.insert(url.len() + 1 + at % (rest.len() + 1), byte);
                prop_assert_eq!(Origin::parse_referer(&referer), Err(OriginError::ControlCharacter));
            }
        }
    }

    #[test]
    fn any_bytes_are_read(origin in prop::collection::vec(any::<u8>(), 0..40)) {
        let embedder = Embedder::identify([origin.as_slice()].into_iter(), std::iter::empty());
        prop_assert_ne!(embedder, Embedder::Absent);
        prop_assert!(embedder.origin().is_none_or(|known| Origin::parse(known.as_str()) == Ok(known)));
    }
}
