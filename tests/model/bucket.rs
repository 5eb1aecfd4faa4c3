//! Bucket: a log that all edges read in one order. It can lose its end, and be made anew.

use crate::EDGES;

/// Saves that a state of the widget rests on, as a set of bits. Each save adds its own to what it was judged by, so one
/// state is older than another, or has lost something of it, if it lacks a bit. 0: nothing is known of the widget.
pub(crate) type Rules = u8;

/// Position of an edge in a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    /// Which bucket: its creation time. 0: none was ever followed.
    pub(crate) created: u8,
    /// The last message in force.
    pub(crate) sequence: u8,
    /// When that message was written, as far as it matters: after how many losses.
    pub(crate) written: u8,
    /// The last decision of an operator that was followed.
    pub(crate) followed: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Restored,
    Accepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Body {
    Rules(Rules),
    Announced(usize),
    SignedOff(usize),
    /// An operator's decision to follow this bucket, by its number: as it is, or because it was filled again.
    Decided(u8, Kind),
}

impl Body {
    fn is_of_the_same_key(self, other: Self) -> bool {
        match (self, other) {
            (Self::Announced(edge) | Self::SignedOff(edge), Self::Announced(of) | Self::SignedOff(of)) => {
                edge == of
            }
            (Self::Decided(..), Self::Decided(..)) => true,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) sequence: u8,
    pub(crate) written: u8,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    pub(crate) created: u8,
    pub(crate) last: u8,
    /// How often a bucket was damaged so far.
    pub(crate) losses: u8,
    pub(crate) messages: Vec<Message>,
}

impl Bucket {
    /// Adds a message. Of the fleet's own keys so many messages are kept.
    pub(crate) fn publish(&mut self, body: Body, history: usize) -> u8 {
        let is_same = |message: &Message| message.body.is_of_the_same_key(body);
        let mut before = self.messages.iter().filter(|message| is_same(message)).count();
        self.messages.retain(|message| {
            let goes = is_same(message) && before >= history;
            before -= usize::from(is_same(message));
            !goes
        });
        self.last += 1;
        self.messages.push(Message { sequence: self.last, written: self.losses, body });
        self.last
    }

    pub(crate) fn after(&self, sequence: u8) -> Option<Message> {
        self.messages.iter().copied().find(|message| message.sequence > sequence)
    }

    /// The widget's last state, and the sequence of its message; 0: there is none.
    pub(crate) fn rules(&self) -> (Rules, u8) {
        let rules = self.messages.iter().rev().find_map(|message| match message.body {
            Body::Rules(rules) => Some((rules, message.sequence)),
            _ => None,
        });
        rules.unwrap_or_default()
    }

    /// The number of the last decision, and its kind; 0: there is none.
    pub(crate) fn decision(&self) -> (u8, Kind) {
        let decision = self.messages.iter().rev().find_map(|message| match message.body {
            Body::Decided(number, kind) => Some((number, kind)),
            _ => None,
        });
        decision.unwrap_or((0, Kind::Restored))
    }

    /// Whether each edge is announced (true), has signed off (false), or is not known.
    pub(crate) fn announced(&self) -> [Option<bool>; EDGES] {
        let mut announced = [None; EDGES];
        for message in &self.messages {
            match message.body {
                Body::Announced(edge) => announced[edge] = Some(true),
                Body::SignedOff(edge) => announced[edge] = Some(false),
                _ => {}
            }
        }
        announced
    }

    /// Whether this is not the bucket that an edge has followed up to there; `key`: the sequence of the widget's message.
    pub(crate) fn differs(&self, at: Position, key: u8) -> bool {
        let message = self.messages.iter().find(|message| message.sequence == at.sequence);
        let is_rewritten = message.is_some_and(|message| message.written != at.written);
        at.created != 0
            && (self.created != at.created || self.last < at.sequence || is_rewritten || self.rules().1 < key)
    }

    pub(crate) fn lose_end(&mut self, last: u8) {
        self.last = last;
        self.losses += 1;
        self.messages.retain(|message| message.sequence <= last);
    }

    /// Somebody removes the widget's key by hand.
    pub(crate) fn remove_widget(&mut self) {
        self.losses += 1;
        self.messages.retain(|message| !matches!(message.body, Body::Rules(_)));
    }

    pub(crate) fn make_anew(&mut self) {
        *self = Self { created: self.created + 1, last: 0, losses: self.losses + 1, messages: Vec::new() };
    }
}
