//! Rows of sessions that have left the edge, in the file of the outbox: MessagePack, each a map with short keys, so that a
//! version reads the rows of a later one.

use std::sync::Arc;

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::memory::{SessionName, SessionSource};
use crate::database::DatabaseFault;
use crate::rules::sessions::{SessionEmbedder, SessionFacts};
use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::origin::{Embedder, OpaqueOrigin, Origin};
use embedgate_policy::verdict::Class;

/// Rows by the widget's id, the session's id, and the text of what the session rests on.
const SESSIONS: TableDefinition<'static, (&str, &str, &str), &[u8]> = TableDefinition::new("remembered");

/// Text after that of any facts: none begins with so high a letter.
const LAST: &str = "\u{10FFFF}";

/// Session as its row has it.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its name.
    pub name: SessionName,
    /// Since when it is remembered.
    pub since: Timestamp,
    /// Until when it counts as open.
    pub until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Columns<'r> {
    /// Since when, in milliseconds since 1970.
    #[serde(rename = "s")]
    since: i64,
    /// Until when it counts, likewise.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    /// The upstream.
    #[serde(rename = "u")]
    upstream: &'r str,
    /// The embedder: an origin, or the text of an opaque one.
    #[serde(rename = "e", borrow, default, skip_serializing_if = "Option::is_none")]
    embedder: Option<&'r str>,
    /// The page that a ticket names.
    #[serde(rename = "t", borrow, default, skip_serializing_if = "Option::is_none")]
    ticket: Option<&'r str>,
    /// Whether its route denies requests without an embedder.
    #[serde(rename = "m", default)]
    missing_denied: bool,
}

/// Session that is over: its widget's id, and its own.
pub type EndedSession = (Arc<str>, Arc<str>);

/// Sessions that one process passes on to another, in the order in which they came.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PassedSessions(Vec<PassedSession>);

/// Session that was named, or is over: the widget's id, and its own.
#[derive(Debug, Serialize, Deserialize)]
enum PassedSession {
    /// With the rest of its row.
    Begun(String, String, Vec<u8>),
    Ended(String, String),
}

impl PassedSessions {
    /// Adds changes of rows, first what is over.
    pub fn add(&mut self, changes: &RowChanges) {
        let Self(passed) = self;
        let ended = |(widget, id): &EndedSession| PassedSession::Ended(widget.to_string(), id.to_string());
        passed.extend(changes.ended.iter().map(ended));
        passed.extend(changes.kept.iter().filter_map(|row| {
            let SessionName { source, id } = &row.name;
            // What can't be written can't be passed on, either.
            let columns = written(row).ok()?;
            Some(PassedSession::Begun(source.widget.to_string(), id.to_string(), columns))
        }));
    }

    /// How many were named, or are over.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to pass on.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sessions that are over, and those that were named after that, one such pair after the other. What can't be read
    /// is left out.
    pub fn read(self) -> Vec<(Vec<EndedSession>, Vec<SessionRow>)> {
        let mut pairs: Vec<(Vec<EndedSession>, Vec<SessionRow>)> = Vec::new();
        for passed in self.0 {
            match passed {
                PassedSession::Begun(widget, id, columns) => {
                    let Some(row) = read(&widget, &id, &columns) else { continue };
                    match pairs.last_mut() {
                        Some((_, begun)) => begun.push(row),
                        None => pairs.push((Vec::new(), vec![row])),
                    }
                }
                PassedSession::Ended(widget, id) => {
                    let over = (widget.into(), id.into());
                    match pairs.last_mut() {
                        Some((ended, begun)) if begun.is_empty() => ended.push(over),
                        _ => pairs.push((vec![over], Vec::new())),
                    }
                }
            }
        }
        pairs
    }
}

/// Changes of rows, to be made in one transaction.
#[derive(Debug, Default)]
pub struct RowChanges {
    /// Sessions that are remembered.
    pub kept: Vec<SessionRow>,
    /// Sessions that are forgotten.
    pub forgotten: Vec<SessionName>,
    /// Sessions that are forgotten whatever they rest on.
    pub ended: Vec<EndedSession>,
}

impl RowChanges {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.forgotten.is_empty() && self.ended.is_empty()
    }

    /// Makes them, first what is forgotten.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn make(&self, transaction: &WriteTransaction) -> Result<(), DatabaseFault> {
        let mut table = transaction.open_table(SESSIONS)?;
        for SessionName { source, id } in &self.forgotten {
            table.remove((&*source.widget, &**id, &*key(source)))?;
        }
        for (widget, id) in &self.ended {
            let of_id = (&**widget, &**id, "")..=(&**widget, &**id, LAST);
            table.retain_in(of_id, |_, _| false)?;
        }
        for row in &self.kept {
            let SessionName { source, id } = &row.name;
            table.insert((&*source.widget, &**id, &*key(source)), &*written(row)?)?;
        }
        Ok(())
    }
}

/// Replaces all rows by these.
///
/// # Errors
///
/// The file can't be written.
pub fn replace(transaction: &WriteTransaction, rows: Vec<SessionRow>) -> Result<(), DatabaseFault> {
    transaction.delete_table(SESSIONS)?;
    RowChanges { kept: rows, ..RowChanges::default() }.make(transaction)
}

/// All rows, the oldest first. What can't be read is left out.
///
/// # Errors
///
/// The file can't be read.
pub fn all(transaction: &WriteTransaction) -> Result<Vec<SessionRow>, DatabaseFault> {
    let table = transaction.open_table(SESSIONS)?;
    let mut rows = Vec::new();
    let mut unread: u64 = 0;
    for entry in table.iter()? {
        let (key, row) = entry?;
        let (widget, id, _) = key.value();
        match read(widget, id, row.value()) {
            Some(row) => rows.push(row),
            None => unread += 1,
        }
    }
    if unread > 0 {
        tracing::warn!("notify.path: {unread} of the sessions that have left the edge can't be read");
    }
    rows.sort_by_key(|row| row.since);
    Ok(rows)
}

/// The text of what a session rests on: the same for the same facts, in every version.
fn key(SessionSource { facts, upstream, .. }: &SessionSource) -> String {
    let ticket = facts.opened_by().map_or("", |page| page.as_str());
    let missing = if is_missing_denied(facts) { "required" } else { "" };
    format!("{} {ticket} {missing} {upstream}", embedder(facts).unwrap_or_default())
}

/// The text of the embedder, unless there is none.
fn embedder(facts: &SessionFacts) -> Option<&str> {
    match facts.embedder() {
        SessionEmbedder::Absent => None,
        SessionEmbedder::Opaque(origin) => Some(origin.as_str()),
        SessionEmbedder::Known(origin) => Some(origin.as_str()),
    }
}

fn is_missing_denied(facts: &SessionFacts) -> bool {
    facts.facts("").missing_denied
}

fn written(SessionRow { name, since, until }: &SessionRow) -> Result<Vec<u8>, DatabaseFault> {
    let SessionSource { facts, upstream, .. } = &*name.source;
    let columns = Columns {
        since: since.as_millisecond(),
        until: until.map(Timestamp::as_millisecond),
        upstream,
        embedder: embedder(facts),
        ticket: facts.opened_by().map(|page| page.as_str()),
        missing_denied: is_missing_denied(facts),
    };
    // Into memory, and of types that it can write all of.
    rmp_serde::to_vec_named(&columns).map_err(|error| DatabaseFault::Failed(error.to_string()))
}

fn read(widget: &str, id: &str, row: &[u8]) -> Option<SessionRow> {
    let columns: Columns<'_> = rmp_serde::from_slice(row).ok()?;
    let embedder = match columns.embedder {
        None => Embedder::Absent,
        Some(text) => {
            match [OpaqueOrigin::Null, OpaqueOrigin::File].iter().find(|origin| origin.as_str() == text) {
                Some(origin) => Embedder::Opaque(*origin),
                None => Embedder::Known(Origin::parse(text).ok()?),
            }
        }
    };
    let ticket = match columns.ticket {
        None => TicketState::Absent,
        Some(text) => TicketState::Valid(Origin::parse(text).ok()?),
    };
    let facts =
        Facts { widget, class: Class::Session, embedder, missing_denied: columns.missing_denied, ticket };
    let source = SessionSource {
        widget: widget.into(),
        facts: SessionFacts::keep(&facts)?,
        upstream: columns.upstream.into(),
    };
    Some(SessionRow {
        name: SessionName { source: Arc::new(source), id: id.into() },
        since: Timestamp::from_millisecond(columns.since).ok()?,
        until: columns.until.map(Timestamp::from_millisecond).transpose().ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use redb::Database;
    use redb::backends::InMemoryBackend;

    fn row(embedder: Embedder<'_>, ticket: Option<&str>, since: i64, until: Option<i64>) -> SessionRow {
        let ticket =
            ticket.map_or(TicketState::Absent, |page| TicketState::Valid(Origin::parse(page).unwrap()));
        let facts =
            Facts { widget: "w", class: Class::Session, embedder, missing_denied: since % 2 == 0, ticket };
        let facts = SessionFacts::keep(&facts).unwrap();
        let at = |at| Timestamp::from_millisecond(at).unwrap();
        SessionRow {
            name: SessionName {
                source: Arc::new(SessionSource { widget: "w".into(), facts, upstream: "app".into() }),
                id: "room:alice".into(),
            },
            since: at(since),
            until: until.map(at),
        }
    }

    fn rows() -> Vec<SessionRow> {
        let known = |text| Embedder::Known(Origin::parse(text).unwrap());
        vec![
            row(Embedder::Absent, None, 1, None),
            row(Embedder::Opaque(OpaqueOrigin::Null), None, 2, Some(5)),
            row(Embedder::Opaque(OpaqueOrigin::File), None, 3, None),
            row(known("https://a.example:8443"), None, 4, Some(i64::from(u32::MAX) * 1000)),
            row(known("https://edge.example"), Some("https://a.example"), 5, None),
            row(known("https://edge.example"), Some("https://b.example"), 6, None),
        ]
    }

    fn database() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    fn kept(database: &Database) -> Vec<SessionRow> {
        all(&database.begin_write().unwrap()).unwrap()
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let database = database();
        let transaction = database.begin_write().unwrap();
        RowChanges { kept: rows(), ..RowChanges::default() }.make(&transaction).unwrap();
        transaction.commit().unwrap();
        assert_eq!(kept(&database), rows(), "one for each of what they rest on, the oldest first");

        let transaction = database.begin_write().unwrap();
        let mut all = rows();
        let changes = RowChanges { forgotten: vec![all.remove(1).name], ..RowChanges::default() };
        changes.make(&transaction).unwrap();
        transaction.commit().unwrap();
        assert_eq!(kept(&database), all);

        let transaction = database.begin_write().unwrap();
        replace(&transaction, rows()).unwrap();
        transaction.commit().unwrap();
        assert_eq!(kept(&database), rows());

        let mut other = row(Embedder::Absent, None, 7, None);
        other.name.id = "room:alice2".into();
        let transaction = database.begin_write().unwrap();
        let changes = RowChanges {
            kept: vec![other],
            ended: vec![("w".into(), "room:alice".into()), ("w".into(), "room".into())],
            ..RowChanges::default()
        };
        changes.make(&transaction).unwrap();
        transaction.commit().unwrap();
        let left: Vec<_> = kept(&database).into_iter().map(|row| row.name.id).collect();
        assert_eq!(left, ["room:alice2".into()], "all of that id, and no other");
    }

    #[test]
    fn what_is_no_row_is_left_out() {
        let database = database();
        let transaction = database.begin_write().unwrap();
        RowChanges { kept: rows(), ..RowChanges::default() }.make(&transaction).unwrap();
        transaction.open_table(SESSIONS).unwrap().insert(("w", "x", ""), &b"\xc1"[..]).unwrap();
        transaction.commit().unwrap();
        assert_eq!(kept(&database), rows());
    }
}
