use proptest::prelude::*;

use super::super::*;
use super::entry;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9_]([a-z0-9_-]{0,5}[a-z0-9_])?(\\.[a-z0-9-]{1,4}){0,2}\\.[a-z]{2,4}",
        1 => "[a-zA-Z]{1,6}\\.(com|example|co\\.uk|vercel\\.app)",
        1 => "[äöüß日本]{1,4}\\.(example|de)",
        1 => Just("localhost".to_owned()),
        1 => Just("a.localhost".to_owned()),
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
        Just("127.0.0.1".to_owned()),
        any::<u128>().prop_map(|bits| format!("[{}]", std::net::Ipv6Addr::from(bits))),
        Just("[::1]".to_owned()),
        any::<u32>().prop_map(|bits| format!("[::ffff:{}]", std::net::Ipv4Addr::from(bits))),
    ]
}

/// Texts of the grammar; those at a public suffix are refused.
fn written() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![4 => Just(""), 2 => Just("https://"), 2 => Just("http://"), 1 => Just("capacitor://"), 1 => Just("HTTPS://")];
    let host = prop_oneof![
        4 => name(),
        2 => name().prop_map(|name| format!("*.{name}")),
        2 => name().prop_map(|name| format!(".{name}")),
        2 => ("[a-z0-9]{1,2}-?", "[a-z-]{0,2}", name()).prop_map(|(before, behind, name)| format!("{before}*{behind}.{name}")),
        2 => address(),
    ];
    let port = prop_oneof![
        4 => Just(String::new()),
        1 => Just(":*".to_owned()),
        1 => Just(":80".to_owned()),
        1 => Just(":443".to_owned()),
        2 => (1..=u16::MAX).prop_map(|port| format!(":{port}")),
    ];
    (scheme, host, port).prop_map(|(scheme, host, port)| format!("{scheme}{host}{port}"))
}

/// Origins that share hosts, ports and schemes with the entries above often enough.
fn embedder() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![4 => Just("https"), 3 => Just("http"), 1 => Just("capacitor"), 1 => Just("wss")];
    let host = prop_oneof![
        "(a|b|pr-1|x_y)\\.(example|localhost|shop\\.example)",
        "(localhost|127\\.0\\.0\\.1|\\[::1\\]|192\\.0\\.2\\.7|\\[2001:db8::1\\])",
    ];
    let port = prop_oneof![4 => Just(""), 1 => Just(":8443"), 1 => Just(":81")];
    (scheme, host, port).prop_map(|(scheme, host, port)| format!("{scheme}://{host}{port}"))
}

/// Accepted: canonical and stable. Refused: a suggestion, if any, is an entry in canonical form.
fn is_sound(text: &str) -> Result<bool, TestCaseError> {
    match Entry::parse(text, PublicSuffixes::shipped()) {
        Ok(parsed) => {
            let canonical = parsed.to_string();
            let again = entry(&canonical);
            prop_assert_eq!(again.to_string(), canonical.as_str());
            prop_assert_eq!(again.semantic().semantic(), parsed.semantic());
            prop_assert!(canonical.is_ascii() && !canonical.contains([' ', ';', ',', '\'', '@', '\\']));
            prop_assert_eq!(&again, &parsed);
            if let Some(unicode) = parsed.unicode() {
                prop_assert_eq!(&entry(&unicode), &parsed);
            }
            Ok(true)
        }
        Err(error) => {
            prop_assert!(!error.detail.is_empty());
            if let Some(suggestion) = error.suggestion {
                prop_assert_eq!(entry(&suggestion).to_string(), suggestion);
            }
            Ok(false)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_grammar_is_accepted(text in written()) {
        let accepted = is_sound(&text)?;
        let error = Entry::parse(&text, PublicSuffixes::shipped()).err();
        let expected = |error: EntryError| matches!(
            error.code,
            EntryErrorCode::PublicSuffix
                | EntryErrorCode::WildcardScheme
                | EntryErrorCode::GlobIdn
                | EntryErrorCode::InvalidIdn
        );
        prop_assert!(accepted || error.is_some_and(expected), "{text}");
    }

    #[test]
    fn other_texts_are_refused_or_canonical(
        text in written(), at in any::<prop::sample::Index>(),
        with in prop_oneof!["[*.:/@;, \\\\?#%\\[\\]]", "\\PC", "[\\x00-\\x20]"],
    ) {
        let mut changed: Vec<char> = text.chars().collect();
        let at = at.index(changed.len() + 1);
        changed.splice(at..at, with.chars());
        is_sound(&changed.into_iter().collect::<String>())?;
    }

    #[test]
    fn any_text_is_refused_or_canonical(text in "\\PC{0,24}") {
        is_sound(&text)?;
    }

    #[test]
    fn an_origins_entry_admits_it_and_no_other(ours in embedder(), theirs in embedder()) {
        let (ours, theirs) = (Origin::parse(&ours).unwrap(), Origin::parse(&theirs).unwrap());
        let Some(exact) = Entry::exactly(ours) else { return Ok(()) };
        prop_assert!(exact.admits(ours));
        prop_assert_eq!(exact.admits(theirs), ours == theirs);
        prop_assert_eq!(entry(&exact.to_string()), exact);
    }

    /// Two spellings that count as duplicates admit the same; the entry of an origin's own text admits it.
    #[test]
    fn spelling_does_not_change_what_is_admitted(text in written(), embedder in embedder()) {
        let embedder = Origin::parse(&embedder).unwrap();
        if let Ok(parsed) = Entry::parse(&text, PublicSuffixes::shipped()) {
            prop_assert_eq!(parsed.semantic().admits(embedder), parsed.admits(embedder));
        }
        if !matches!(embedder.scheme(), Scheme::Other("wss")) {
            prop_assert!(entry(embedder.as_str()).admits(embedder));
        }
    }
}
