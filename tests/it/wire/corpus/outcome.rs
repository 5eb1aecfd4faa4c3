//! What became of a request, at its upstream and at its client, without what the protocols themselves differ in.

use super::table::Case;
use crate::support::raw::masked;
use crate::wire::Stage;
use crate::wire::client::Answer;
use crate::wire::strict::Fields;

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// As the upstream got it; none where the edge answered.
    seen: Vec<Seen>,
    got: Got,
}

/// A request at its upstream.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    method: String,
    target: String,
    fields: Fields,
    body: String,
    trailers: Fields,
    whole: bool,
}

/// An answer at its client.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    interim: Vec<(u16, Fields)>,
    status: u16,
    fields: Fields,
    body: String,
    trailers: Fields,
    broken: Option<String>,
}

impl Outcome {
    pub fn of(case: &str, below: &str, stage: &Stage, answer: Answer) -> Self {
        let seen = stage.upstream(below).of(case).into_iter().map(|request| Seen {
            method: request.method,
            target: request.target.replacen(below, "", 1),
            fields: comparable(request.fields),
            body: shortened(&request.body),
            trailers: sorted(request.trailers),
            whole: request.whole,
        });
        let body = match answer.decision_id() {
            Some(id) => answer.text().replace(&id, "id").into_bytes(),
            None => answer.body,
        };
        let got = Got {
            interim: answer
                .interim
                .into_iter()
                .map(|(status, fields)| (status, comparable(fields)))
                .collect(),
            status: answer.status,
            fields: comparable(answer.fields),
            body: shortened(&body),
            trailers: sorted(answer.trailers),
            broken: answer.broken,
        };
        Self { seen: seen.collect(), got }
    }

    /// As HTTP/1.0 tells it.
    pub fn old(mut self) -> Self {
        (self.got.interim, self.got.trailers) = (Vec::new(), Fields::new());
        self
    }
}

fn comparable(mut fields: Fields) -> Fields {
    const OWN: [&str; 4] = ["x-case", "x-decision-id", "transfer-encoding", "connection"];
    fields.retain(|(name, _)| !OWN.contains(&&**name));
    for (name, value) in &mut fields {
        // What is another each time.
        *value = if name == "date" { "some".to_owned() } else { masked(value) };
    }
    sorted(fields)
}

/// The order of lines of one name means something, that of names does not.
fn sorted(mut fields: Fields) -> Fields {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

/// Long ones by their length and their hash.
fn shortened(body: &[u8]) -> String {
    if body.len() <= 1024 {
        return String::from_utf8_lossy(body).into_owned();
    }
    format!("{} bytes {:08x}", body.len(), crc32fast::hash(body))
}

/// What differs between two outcomes, and nothing else.
pub fn difference(expected: &Outcome, outcome: &Outcome) -> String {
    let (expected, outcome) = (format!("{expected:#?}"), format!("{outcome:#?}"));
    let without = |some: &str, others: &str| -> Vec<String> {
        let others: Vec<&str> = others.lines().collect();
        some.lines().filter(|line| !others.contains(line)).map(|line| line.trim().to_owned()).collect()
    };
    let (only_expected, only_outcome) = (without(&expected, &outcome), without(&outcome, &expected));
    format!("{only_outcome:?}, not {only_expected:?}, or in another order")
}

/// Why what became of a request is not what it should have been, whatever the transport.
pub fn fault(case: &Case, outcome: &Outcome) -> Option<String> {
    let Outcome { seen, got } = outcome;
    let [seen] = &seen[..] else {
        let answered = seen.is_empty() && case.refused && got.broken.is_none();
        return (!answered).then(|| format!("{} requests", seen.len()));
    };
    let trailers = case.trailers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let is_same = seen.whole
        && seen.method == case.method
        && seen.target == format!("//w/{}", case.target)
        && seen.body == shortened(&case.bytes())
        && seen.trailers == sorted(trailers.collect());
    if !is_same || case.refused {
        return Some("another request".to_owned());
    }
    let body =
        if case.method == "HEAD" { String::new() } else { format!("{} /w/{}", case.method, case.target) };
    let is_answered = got.status == 200 && got.body == shortened(body.as_bytes()) && got.broken.is_none();
    (!is_answered).then(|| "another answer".to_owned())
}
