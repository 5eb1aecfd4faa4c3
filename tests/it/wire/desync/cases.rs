//! The cases of both corpora, as data.

use serde::Deserialize;

const CORPORA: [(&str, &str); 2] =
    [("guardian", include_str!("guardian.toml")), ("garden", include_str!("garden.toml"))];

/// One request, and what the edge answers.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its corpus and its name.
    pub name: String,
    /// Everything that is sent; `{smuggled}` and kin are still to be filled in.
    template: Template,
    /// The status where the page is on the list.
    pub status: u16,
}

#[derive(Clone, Debug)]
struct Template {
    head: String,
    body: String,
}

#[derive(Deserialize)]
struct Corpus {
    case: Vec<Written>,
}

/// A case as its file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    /// What the guardian says of it.
    #[serde(default, rename = "guardian")]
    _guardian: String,
    first: Option<String>,
    #[serde(default)]
    lines: String,
    #[serde(default)]
    body: String,
    raw: Option<String>,
    status: u16,
}

/// What one sending of a case is about.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// What the requests of this connection are told by.
    pub number: usize,
    /// The page that asks.
    pub origin: &'a str,
    /// The first part of the path, by which the edge picks the upstream.
    pub below: &'a str,
}

impl Sending<'_> {
    fn request(&self, name: &str) -> Vec<u8> {
        // What is smuggled would be allowed.
        let request = format!(
            "GET /{}/w/session/{name}-{} HTTP/1.1\r\nHost: chat.example\r\nOrigin: {}\r\n\r\n",
            self.below,
            self.number,
            super::LISTED
        );
        request.into_bytes()
    }

    /// A request that nobody sent.
    pub fn smuggled(&self) -> Vec<u8> {
        self.request("smuggled")
    }

    /// The request behind a case.
    pub fn marker(&self) -> Vec<u8> {
        self.request("marker")
    }
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (corpus, text) in CORPORA {
        let Corpus { case } = toml::from_str(text).expect(corpus);
        for written in case {
            let name = format!("{corpus}: {}", written.name);
            let template = match written.raw {
                Some(raw) => Template { head: raw, body: String::new() },
                None => {
                    let first = written.first.as_deref().unwrap_or("POST /w/w/session HTTP/1.1");
                    let head = format!(
                        "{first}\r\nHost: chat.example\r\n{}Origin: {}\r\n\r\n",
                        written.lines,
                        super::LISTED
                    );
                    Template { head, body: written.body }
                }
            };
            cases.push(Case { name, template, status: written.status });
        }
    }
    cases
}

impl Case {
    /// The bytes of a case, sent so.
    pub fn bytes(&self, sending: Sending<'_>) -> Vec<u8> {
        let body = filled(&self.template.body, sending, None);
        let head = self.template.head.replace("/w/w/", &format!("/{}/w/", sending.below));
        let head = head.replace(super::LISTED, sending.origin);
        [filled(&head, sending, Some(body.len())), body].concat()
    }
}

/// Text as bytes, with what stands for something else filled in; a head has the length of its body.
fn filled(text: &str, sending: Sending<'_>, length: Option<usize>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        bytes.extend(encoded(before));
        let filling = after.split_once('}').and_then(|(name, after)| {
            let filling = match name {
                "smuggled" => sending.smuggled(),
                "size" => format!("{:x}", sending.smuggled().len()).into_bytes(),
                "length" => length?.to_string().into_bytes(),
                count => {
                    let of = if length.is_some() { b"a".to_vec() } else { sending.smuggled() };
                    of.into_iter().cycle().take(count.parse().ok()?).collect()
                }
            };
            Some((filling, after))
        });
        match filling {
            Some((filling, after)) => {
                bytes.extend(filling);
                rest = after;
            }
            None => {
                bytes.push(b'{');
                rest = after;
            }
        }
    }
    bytes.extend(encoded(rest));
    bytes
}

/// A character below U+0100 is one byte, others are UTF-8.
fn encoded(text: &str) -> Vec<u8> {
    let bytes = text.chars().map(|letter| match u8::try_from(letter) {
        Ok(byte) => vec![byte],
        Err(_) => letter.to_string().into_bytes(),
    });
    bytes.flatten().collect()
}

#[test]
fn the_corpora_are_read() {
    let cases = cases();
    let of = |corpus: &str| cases.iter().filter(|case| case.name.starts_with(corpus)).count();
    assert_eq!((of("guardian"), of("garden")), (155, 216));
    let sending = Sending { number: 7, origin: "https://a.example", below: "h" };
    let smuggled = sending.smuggled().len();
    let one = Template {
        head: "A /w/w/x{\r\nL: {length}\x01\u{85}\u{17f}\r\n".to_owned(),
        body: "{size}{3}".to_owned(),
    };
    let one = Case { name: String::new(), template: one, status: 200 };
    let size = format!("{smuggled:x}");
    let before = format!("A /h/w/x{{\r\nL: {}\x01", size.len() + 3).into_bytes();
    let after = format!("\r\n{size}GET").into_bytes();
    assert_eq!(one.bytes(sending), [before, vec![0x85, 0xc5, 0xbf], after].concat());
}
