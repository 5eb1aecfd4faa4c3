//! `kill -9` in the middle of everything.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Desk, delete, open, put, revision, save};
use crate::support::scale;

/// Where the child finds its store.
const STORE: &str = "EMBEDGATE_TEST_STORE";
const SAVERS: usize = 3;
const BATCH: usize = 20;

/// The child: saves as fast as it can, alone and in batches, and says what was answered.
#[test]
#[ignore = "no test: the process that is killed in one"]
fn the_writer() {
    // Run among all the others, it has nothing to do.
    let Some(path) = std::env::var_os(STORE).map(PathBuf::from) else { return };
    let publisher = open(&path).unwrap();
    let answered = |who: &str, revision: u64| {
        // One write each, so that no line is torn.
        std::io::stdout().write_all(format!("\nanswered {who} {revision}\n").as_bytes()).unwrap();
    };
    std::thread::scope(|scope| {
        for saver in 0..SAVERS {
            let publisher = &publisher;
            scope.spawn(move || {
                let id = format!("s{saver}");
                loop {
                    let site = format!("n{}.example", revision(publisher, &id));
                    let change = put(&format!(r#"{{"id":"{id}","allowed_domains":["{site}"]}}"#));
                    let published = save(publisher, vec![change]).unwrap();
                    answered(&id, published.outcomes[0].revision());
                }
            });
        }
        loop {
            let before = revision(&publisher, "b0");
            let document = |n| format!(r#"{{"id":"b{n}","allowed_domains":["n{before}.example"]}}"#);
            let mut batch: Vec<_> = (0..BATCH).map(|n| put(&document(n))).collect();
            if before % 3 == 1 {
                batch[BATCH - 1] = delete(&format!("b{}", BATCH - 1));
            }
            let published = save(&publisher, batch).unwrap();
            answered("batch", published.outcomes[0].revision());
        }
    });
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_answered_save_is_there_and_no_batch_by_halves() {
    let desk = Desk::new();
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for round in 0..scale(500) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["store::killed::the_writer", "--exact", "--ignored", "--nocapture"])
            .env(STORE, desk.store())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = Killed(child.unwrap());
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut left = 1 + round * 7 % 50;
        for line in lines.map_while(Result::ok) {
            if let Some((who, revision)) =
                line.strip_prefix("answered ").and_then(|line| line.split_once(' '))
            {
                answered.insert(who.to_owned(), revision.parse().unwrap());
                left = left.saturating_sub(1);
                if left == 0 {
                    // What is in the pipe already was answered, too: it is read to its end.
                    child.0.kill().unwrap();
                }
            }
        }
        assert_eq!(left, 0, "round {round}: the child ended by itself");
        drop(child);

        let started = Instant::now();
        let publisher = desk.open();
        slowest = slowest.max(started.elapsed());
        for (who, answered) in &mut answered {
            let id = if who == "batch" { "b0" } else { who };
            let stored = revision(&publisher, id);
            // The one that was under way may be there, unanswered.
            assert!(
                (*answered..=*answered + 1).contains(&stored),
                "round {round}: {who} {answered}, stored {stored}"
            );
            *answered = stored;
        }
        let batch: Vec<u64> = (0..BATCH).map(|n| revision(&publisher, &format!("b{n}"))).collect();
        assert!(batch.iter().all(|revision| *revision == batch[0]), "round {round}: {batch:?}");
        let book = publisher.live().load();
        let documents = publisher.documents().page(None, 100).unwrap();
        assert_eq!(documents.len(), book.len());
        for document in documents {
            assert!(book.holds(&document), "round {round}: {}", document.id);
            assert_eq!(document.revision, book.get(document.id.as_str()).map(|rules| rules.revision));
        }
    }
    assert!(slowest < Duration::from_secs(2), "a start took {slowest:?}");
    assert!(answered.len() == SAVERS + 1, "not everybody was heard of: {answered:?}");
}
