//! Questions among edges, beside the bucket: how far each is, and when it is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::{ServerConnection, told};
use super::hub::{Hub, NAME_TAKEN};
use super::report::{FleetQuestion, Report};

/// Longest time that somebody may wait for an answer.
const LONGEST: Duration = Duration::from_secs(60);

/// Time after which those who have not answered are asked again, at first; then longer and longer.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_AT_MOST: Duration = Duration::from_secs(2);

/// Time in which a process that was heard of lately answers if it still runs.
const GRACE: Duration = Duration::from_secs(1);

/// Time to tell others that this process ends.
const FAREWELL: Duration = Duration::from_secs(1);

impl Hub {
    /// Answers other edges, and hears what they tell, for as long as the connection is open.
    pub(super) async fn converse(self: Arc<Self>, connection: Arc<ServerConnection>) {
        let client = &connection.client;
        let asked = client.subscribe(self.names.ask()).await;
        let heard = client.subscribe(self.names.report()).await;
        let peers = client.subscribe(self.names.peers()).await;
        let words = client.subscribe(self.names.words()).await;
        let (Ok(mut asked), Ok(mut heard), Ok(mut peers), Ok(mut words)) = (asked, heard, peers, words)
        else {
            tracing::warn!("edges can't be heard: NATS refuses the subscriptions below embedgate.>");
            return;
        };
        let mut tell_at = Instant::now();
        let mut sending = pin!(self.send_words(client));
        loop {
            tokio::select! {
                question = asked.next() => match question {
                    Some(question) => self.answer(client, question),
                    None => return,
                },
                question = peers.next() => match question {
                    Some(question) => self.answer_peer(client, question),
                    None => return,
                },
                word = words.next() => match word {
                    Some(word) => self.hear_word(word),
                    None => return,
                },
                () = &mut sending => return,
                report = heard.next() => match report {
                    Some(report) => self.hear_message(&report),
                    None => return,
                },
                () = tokio::time::sleep_until(tell_at) => {
                    tell_at = Instant::now() + self.report_interval().mul_f64(0.8 + 0.4 * rand::random::<f64>());
                    self.tell(client).await;
                }
                _ = connection.end() => return,
            }
        }
    }

    async fn tell(&self, client: &Client) {
        if let Ok(report) = serde_json::to_vec(&self.report()) {
            // Whoever does not hear it asks.
            let _ = client.publish(self.names.report(), report.into()).await;
        }
    }

    /// Tells the other edges that this process follows the bucket no longer, so that nobody waits for it.
    pub(super) async fn take_leave(&self, client: &Client) {
        if let Ok(report) = serde_json::to_vec(&Report { ended: true, ..self.report() }) {
            // Where it is lost, they wait for an answer for a moment.
            let _ = client.publish(self.names.report(), report.into()).await;
            let _ = timeout(FAREWELL, client.flush()).await;
        }
    }

    /// Answers one question on a task of its own: it may take until a sequence is in force here.
    fn answer(self: &Arc<Self>, client: &Client, question: Message) {
        let Ok(asked) = serde_json::from_slice::<FleetQuestion>(&question.payload) else { return };
        let Some(reply) = question.reply.filter(|_| asked.from != self.instance) else { return };
        let (hub, client) = (Arc::clone(self), client.clone());
        drop(tokio::spawn(async move {
            if let Some(sequence) = asked.sequence.filter(|_| !hub.is_superseded() && hub.fault().is_none()) {
                let mut enforced = hub.enforced.subscribe();
                match timeout(LONGEST, enforced.wait_for(|enforced| *enforced >= sequence)).await {
                    Ok(Ok(_)) => {}
                    _ => return,
                }
            }
            if let Ok(report) = serde_json::to_vec(&hub.report()) {
                let _ = client.publish(reply, report.into()).await;
            }
        }));
    }

    fn hear_message(&self, message: &Message) {
        if let Ok(report) = serde_json::from_slice::<Report>(&message.payload)
            && report.instance != self.instance
        {
            self.hear(report);
        }
    }

    /// Notes a report, and compares its digest.
    fn hear(&self, report: Report) {
        if report.ended {
            self.registry.lock().has_ended(&report);
            return;
        }
        let own = self.in_force();
        if report.fault.is_none()
            && (report.created, report.changed) == (own.created, own.changed)
            && report.digest != format!("{:032x}", own.digest)
        {
            let Report { name, version, changed, .. } = &report;
            tracing::error!(
                edge = name,
                "the rules differ from those of the edge `{name}` (version {version}), although both are at message \
                 {changed} of the bucket: both read it again"
            );
            self.doubt.notify_one();
        }
        let state = self.state_of(&report, own.changed);
        self.registry.lock().hear(report, state);
    }

    /// Asks all edges, and hands on each report until `enough` says so or the time is over.
    async fn ask(
        &self,
        sequence: Option<u64>,
        until: Instant,
        mut enough: impl FnMut(Report) -> bool,
    ) -> Result<(), Arc<str>> {
        let question = FleetQuestion { from: self.instance.clone(), sequence };
        let question = serde_json::to_vec(&question).map_err(|error| Arc::from(told(&error)))?;
        let asked = self.inquire(self.names.ask(), HeaderMap::new(), question.into(), until, |answer| {
            let report = serde_json::from_slice::<Report>(&answer.payload).ok();
            report.filter(|report| report.instance != self.instance).is_some_and(|report| {
                self.hear(report.clone());
                enough(report)
            })
        });
        asked.await
    }

    /// Sends a question, and hands on each answer until `enough` says so or the time is over.
    pub(super) async fn inquire(
        &self,
        subject: String,
        headers: HeaderMap,
        question: Bytes,
        until: Instant,
        mut enough: impl FnMut(&Message) -> bool,
    ) -> Result<(), Arc<str>> {
        let connection = self.connection()?;
        let client = &connection.client;
        let inbox = client.new_inbox();
        let lost = |error: &dyn std::error::Error| Arc::from(told(error));
        let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| lost(&error))?;
        let sent = client.publish_with_reply_and_headers(subject, inbox, headers, question).await;
        sent.map_err(|error| lost(&error))?;
        loop {
            let answer = tokio::select! {
                answer = timeout_at(until, answers.next()) => answer,
                reason = connection.end() => return Err(reason),
            };
            match answer {
                Ok(Some(answer)) if enough(&answer) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => return Err("the subscription has ended".into()),
                Err(_) => return Ok(()),
            }
        }
    }

    /// The reports of all edges that answer within this time, by name. One that does not answer makes it last that long,
    /// and so does a bucket that is not followed: it may not tell who is there.
    pub(super) async fn reports(&self, within: Duration) -> BTreeMap<String, Report> {
        let mut missing: BTreeSet<String> =
            self.registry.lock().all().map(|(name, _)| name.clone()).collect();
        missing.remove(self.edge());
        let mut reports = BTreeMap::new();
        let knows_all = self.link.borrow().connected;
        if missing.is_empty() && knows_all {
            return reports;
        }
        let asked = self.ask(None, Instant::now() + within, |report| {
            missing.remove(&report.name);
            reports.insert(report.name.clone(), report);
            missing.is_empty() && knows_all
        });
        // Without a connection nobody answers.
        let _ = asked.await;
        reports
    }

    /// The reports of all edges that answer within this time, by name, whether they are known or not: of two processes of
    /// one name, that which is ahead.
    pub(super) async fn roll_call(&self, within: Duration) -> Result<BTreeMap<String, Report>, Arc<str>> {
        let mut reports: BTreeMap<String, Report> = BTreeMap::new();
        let note = |report: Report| {
            let known = reports.get(&report.name);
            if known.is_none_or(|known| known.changed <= report.changed) {
                reports.insert(report.name.clone(), report);
            }
            false
        };
        self.ask(None, Instant::now() + within, note).await?;
        Ok(reports)
    }

    /// Whether another process answers to the name of this edge and has it. Of several that all wait for each other, that
    /// with the largest instance has it.
    pub(super) async fn has_namesake(&self, within: Duration) -> bool {
        let mut found = false;
        let asked = self.ask(None, Instant::now() + within, |report| {
            let has_it = report.fault.as_deref() != Some(NAME_TAKEN) || report.instance > self.instance;
            found = report.name == self.edge() && has_it;
            found
        });
        let asked = asked.await;
        found || asked.is_err()
    }

    /// Waits until every edge enforces the message of this sequence, and names those that don't within this time.
    pub(super) async fn wait_for_all(&self, sequence: u64, within: Duration) -> Vec<String> {
        let until = Instant::now() + within;
        let mut behind = Behind::new(sequence);
        behind.enforces(self.edge(), &self.instance);
        let mut again = AGAIN;
        // Whoever was announced before that message is known once it is in force here.
        let mut enforced = self.enforced.subscribe();
        let own = enforced.wait_for(|enforced| *enforced >= sequence);
        let is_in_force = matches!(timeout_at(until, own).await, Ok(Ok(_)));
        if !is_in_force {
            let mut all = self.waited_for();
            all.insert(self.edge().to_owned(), self.instance.clone());
            return all.into_keys().collect();
        }
        let (mut others, grace) = (self.other_processes(), Instant::now() + GRACE);
        loop {
            let now = Instant::now();
            if now >= grace {
                // They were ended, and could not say so.
                others.clear();
            }
            // Or have said so by now.
            self.keep_current(&mut others);
            let behind_now = behind.among(&self.waited_for(), &others);
            if behind_now.is_empty() || now >= until {
                return behind_now;
            }
            let lineage = self.in_force().lineage();
            let round = (now + again).min(until);
            let round = if others.is_empty() { round } else { round.min(grace) };
            let asked = self.ask(Some(sequence), round, |report| {
                behind.note(report, lineage);
                behind.among(&self.waited_for(), &others).is_empty()
            });
            if asked.await.is_err() {
                sleep(AGAIN.min(until.duration_since(now))).await;
            }
            again = (again * 2).min(AGAIN_AT_MOST);
        }
    }

    /// The edges that saves wait for.
    fn waited_for(&self) -> BTreeMap<String, String> {
        self.registry.lock().waited_for(Instant::now())
    }

    /// Drops those of these processes that were ended since.
    fn keep_current(&self, others: &mut BTreeMap<String, BTreeSet<String>>) {
        if others.is_empty() {
            return;
        }
        let current = self.other_processes();
        others.retain(|name, instances| {
            instances.retain(|instance| current.get(name).is_some_and(|all| all.contains(instance)));
            !instances.is_empty()
        });
    }

    /// Processes that were heard of lately under the name of an edge, and are not the one that was announced last.
    fn other_processes(&self) -> BTreeMap<String, BTreeSet<String>> {
        let interval = self.report_interval();
        self.registry.lock().other_processes(interval)
    }
}

/// Edges that don't enforce a message yet.
struct Behind {
    sequence: u64,
    /// Whether each process that has answered enforces it, by the name of its edge.
    answers: HashMap<String, HashMap<String, bool>>,
}

impl Behind {
    fn new(sequence: u64) -> Self {
        Self { sequence, answers: HashMap::new() }
    }

    /// Notes that this process enforces it.
    fn enforces(&mut self, name: &str, instance: &str) {
        self.answers.entry(name.to_owned()).or_default().insert(instance.to_owned(), true);
    }

    /// Notes an answer. `lineage`: what is followed here; a sequence of anything else means nothing.
    fn note(&mut self, report: Report, lineage: (u64, u64)) {
        let is_same = (report.created, report.followed) == lineage;
        let enforces = is_same && report.sequence >= self.sequence && report.fault.is_none();
        self.answers.entry(report.name).or_default().insert(report.instance, enforces);
    }

    /// Those of these edges that don't enforce it, as far as they have told. The process that was announced last counts,
    /// and no other of its name may say that it doesn't. `others`: those that are still to say something.
    fn among(
        &self,
        edges: &BTreeMap<String, String>,
        others: &BTreeMap<String, BTreeSet<String>>,
    ) -> Vec<String> {
        let is_behind = |name: &String, instance: &String| match self.answers.get(name) {
            Some(answers) => {
                let mut others = others.get(name).into_iter().flatten();
                answers.get(instance) != Some(&true)
                    || answers.values().any(|enforces| !enforces)
                    || others.any(|other| !answers.contains_key(other))
            }
            None => true,
        };
        edges
            .iter()
            .filter(|(name, instance)| is_behind(name, instance))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, instance: &str, created: u64, sequence: u64, fault: bool) -> Report {
        Report {
            name: name.into(),
            instance: instance.into(),
            version: "1".into(),
            created,
            sequence,
            changed: sequence,
            digest: String::new(),
            followed: 0,
            age_seconds: None,
            sessions: 0,
            ticket_keys: String::new(),
            fault: fault.then(|| "bucket_shrunk".into()),
            ended: false,
        }
    }

    #[test]
    fn an_edge_is_behind_until_its_last_process_enforces_the_message_and_no_other_denies_it() {
        let edges = BTreeMap::from([("a".to_owned(), "a1".to_owned()), ("b".to_owned(), "b2".to_owned())]);
        for (reports, behind) in [
            (vec![], vec!["a", "b"]),
            (vec![report("a", "a1", 7, 10, false)], vec!["b"]),
            (vec![report("a", "a1", 7, 9, false), report("b", "b2", 7, 10, false)], vec!["a"]),
            // Of another bucket, and one that keeps its rules because of a fault.
            (vec![report("a", "a1", 8, 10, false), report("b", "b2", 7, 10, true)], vec!["a", "b"]),
            // The process before the last one.
            (vec![report("a", "a1", 7, 12, false), report("b", "b1", 7, 12, false)], vec!["b"]),
            (vec![report("b", "b2", 7, 12, false), report("b", "b1", 7, 9, false)], vec!["a", "b"]),
            // Somebody who was never announced.
            (
                vec![
                    report("a", "a1", 7, 10, false),
                    report("b", "b2", 7, 11, false),
                    report("c", "c", 7, 1, false),
                ],
                vec![],
            ),
        ] {
            let mut behind_now = Behind::new(10);
            reports.iter().cloned().for_each(|report| behind_now.note(report, (7, 0)));
            assert_eq!(behind_now.among(&edges, &BTreeMap::new()), behind, "{reports:?}");
        }
    }

    #[test]
    fn an_edge_is_behind_until_every_process_of_its_name_has_answered() {
        let edges = BTreeMap::from([("a".to_owned(), "a2".to_owned())]);
        let others = BTreeMap::from([("a".to_owned(), BTreeSet::from(["a1".to_owned()]))]);
        for (answer_of_the_older, is_behind) in [
            (None, true),
            (Some(report("a", "a1", 7, 9, false)), true),
            (Some(report("a", "a1", 7, 10, true)), true),
            (Some(report("a", "a1", 7, 10, false)), false),
        ] {
            let mut behind = Behind::new(10);
            behind.note(report("a", "a2", 7, 10, false), (7, 0));
            let told = format!("{answer_of_the_older:?}");
            answer_of_the_older.into_iter().for_each(|report| behind.note(report, (7, 0)));
            assert_eq!(!behind.among(&edges, &others).is_empty(), is_behind, "{told}");
        }
    }
}
