//! Ledger of what was acknowledged: every edge is held to it in the end.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::admin::{Admin, Saved};
use crate::edge::Edge;
use crate::verdict::Expected;

/// Widgets that are saved again and again.
const WIDGETS: usize = 20;
/// How long a save waits for the fleet.
const WAIT: Duration = Duration::from_millis(300);
/// How long saves go on at most: where the servers are away, each takes its time.
const LONGEST: Duration = Duration::from_secs(30);
/// How long a verdict may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Widgets, and what was acknowledged of each.
pub struct Ledger {
    widgets: Vec<Widget>,
    next: usize,
    saves: u64,
    /// Writes that were refused, or that have no answer that tells.
    pub unsaved: u64,
}

struct Widget {
    expected: Expected,
    /// The last write has no answer that tells whether it is saved.
    is_uncertain: bool,
}

impl Ledger {
    pub fn new() -> Self {
        let widget = |number: usize| Widget {
            expected: Expected { id: format!("wgt_{number}"), allowed: None, denied: None },
            is_uncertain: false,
        };
        Self { widgets: (0..WIDGETS).map(widget).collect(), next: 0, saves: 0, unsaved: 0 }
    }

    /// Saves so many widgets at most, one after the other, through these edges in turn.
    pub async fn save(&mut self, through: &[&Edge], count: usize) {
        self.save_all(through, count, Some(WAIT)).await;
    }

    /// The same, each answered as soon as the edge that it goes through enforces it.
    pub async fn save_without_waiting(&mut self, through: &[&Edge], count: usize) {
        self.save_all(through, count, None).await;
    }

    /// The ids of all widgets that are saved again and again.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.widgets.iter().take(WIDGETS).map(|widget| widget.expected.id.as_str())
    }

    async fn save_all(&mut self, through: &[&Edge], count: usize, wait: Option<Duration>) {
        let mut admins: Vec<Admin> = through.iter().map(|edge| edge.admin()).collect();
        let deadline = Instant::now() + LONGEST;
        for number in (0..count).take_while(|_| Instant::now() < deadline) {
            let turn = number % admins.len();
            self.save_next(&mut admins[turn], wait).await;
        }
    }

    async fn save_next(&mut self, admin: &mut Admin, wait: Option<Duration>) {
        self.saves += 1;
        let site = format!("site-{}.example", self.saves);
        let number = self.next % WIDGETS;
        self.next += 1;
        let saved = admin.save(&self.widgets[number].expected.id, &site, wait).await;
        self.note(number, saved, Some(site));
    }

    /// Deletes one more widget.
    pub async fn delete(&mut self, through: &Edge) {
        let id = format!("wgt_gone_{}", self.widgets.len());
        let site = "gone.example".to_owned();
        let mut admin = through.admin();
        self.widgets.push(Widget {
            expected: Expected { id: id.clone(), allowed: None, denied: None },
            is_uncertain: false,
        });
        let number = self.widgets.len() - 1;
        let saved = admin.save(&id, &site, Some(WAIT)).await;
        self.note(number, saved, Some(site));
        let deleted = admin.delete(&id, Some(WAIT)).await;
        self.note(number, deleted, None);
    }

    fn note(&mut self, number: usize, saved: Saved, allowed: Option<String>) {
        let widget = &mut self.widgets[number];
        match saved {
            Saved::Everywhere | Saved::Behind(_) => {
                widget.expected.denied = std::mem::replace(&mut widget.expected.allowed, allowed);
                widget.is_uncertain = false;
            }
            Saved::Refused(_) => self.unsaved += 1,
            Saved::Uncertain(_) => {
                self.unsaved += 1;
                widget.is_uncertain = true;
            }
        }
    }

    /// What these edges don't enforce of it: how much, and what the first of it is. Deleted widgets apart.
    pub async fn missing(&self, edges: &[&Edge]) -> Result<Missing> {
        let mut missing = Missing::default();
        for edge in edges {
            let mut asker = edge.asker();
            for widget in self.widgets.iter().filter(|widget| !widget.is_uncertain) {
                let Some(old) = asker.find_old(&widget.expected, PATIENCE).await? else { continue };
                let count =
                    if widget.expected.allowed.is_some() { &mut missing.saves } else { &mut missing.back };
                *count += 1;
                missing.first.get_or_insert(old);
            }
        }
        Ok(missing)
    }
}

/// Acknowledged writes that an edge doesn't enforce.
#[derive(Default)]
pub struct Missing {
    pub saves: u64,
    /// Deleted widgets that are back.
    pub back: u64,
    first: Option<String>,
}

impl Missing {
    pub fn first(&self) -> &str {
        self.first.as_deref().unwrap_or_default()
    }
}
