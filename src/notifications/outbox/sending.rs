//! Sender: takes what is due out of the lanes, and brings back what came of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::backoff;
use super::lanes::TryFailure;
use super::{Outbox, Queued};
use crate::notifications::fact::QueueKind;
use crate::notifications::receiver::{WebhookDelivery, WebhookReceiver};
use crate::rules::caught;
use crate::telemetry::metrics::NotificationOutcome;

/// Notifications that are under way at once, of each queue.
const AT_ONCE: [(QueueKind, usize); 3] =
    [(QueueKind::Revocations, 8), (QueueKind::Usual, 8), (QueueKind::Tests, 1)];

/// What came of a try.
struct TriedWebhook {
    queued: Arc<Queued>,
    tries: u32,
    delivery: WebhookDelivery,
}

/// Tries under way.
#[derive(Default)]
struct UnderWay {
    tries: JoinSet<TriedWebhook>,
    /// How many of each queue, in the order of [`AT_ONCE`].
    counts: [usize; AT_ONCE.len()],
}

impl Outbox {
    /// Sends whatever is due. Runs for ever.
    pub(super) async fn send(&self) {
        let mut under_way = UnderWay::default();
        loop {
            let next = self.receiver().and_then(|receiver| self.begin(&receiver, &mut under_way));
            let due = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(tried) = under_way.tries.join_next() => {
                    if let Ok(tried) = tried {
                        under_way.ended(tried.queued.queue);
                        self.settle(tried);
                    }
                }
                () = self.to_send.notified() => {}
                () = due => {}
            }
        }
    }

    /// Begins with everything that is due and may be under way. Returns when the next is due that may be.
    fn begin(&self, receiver: &Arc<WebhookReceiver>, under_way: &mut UnderWay) -> Option<Instant> {
        let mut waiting = self.waiting.lock();
        let mut next: Option<Instant> = None;
        for ((queue, most), count) in AT_ONCE.into_iter().zip(&mut under_way.counts) {
            while *count < most {
                let Some((queued, tries)) = waiting.lanes.begin(queue, Instant::now()) else {
                    next = [next, waiting.lanes.next_due(queue)].into_iter().flatten().min();
                    break;
                };
                *count += 1;
                let receiver = Arc::clone(receiver);
                under_way.tries.spawn_blocking(move || {
                    let delivery = caught(|| receiver.deliver(queued.id, &queued.body));
                    // Its lane must not wait for ever.
                    let delivery = delivery.unwrap_or_else(WebhookDelivery::broken_off);
                    TriedWebhook { queued, tries, delivery }
                });
            }
        }
        next
    }

    /// Notes what came of a try.
    fn settle(&self, TriedWebhook { queued, tries, delivery }: TriedWebhook) {
        let mut waiting = self.waiting.lock();
        let (now, at) = (Instant::now(), Timestamp::now());
        let age = Duration::try_from(at.duration_since(queued.taken)).unwrap_or_default();
        let (error, wait, is_unreachable) = match delivery {
            WebhookDelivery::Arrived => {
                // Another process may have it now.
                let Some(queued) = waiting.lanes.finish(queued.number, now) else { return };
                waiting.gone.push(queued.number);
                waiting.last_arrival = Some(at);
                waiting.lanes.reached(now);
                self.metrics.count(&queued.kind, NotificationOutcome::Delivered);
                self.note_pending(&waiting);
                return self.to_write.notify_one();
            }
            WebhookDelivery::Refused { error } => (error, None, false),
            WebhookDelivery::Failed { error, asked, is_unreachable } => {
                (error, backoff::wait(tries, age, rand::random(), asked), is_unreachable)
            }
        };
        let Some(wait) = wait else {
            let Some(queued) = waiting.lanes.finish(queued.number, now) else { return };
            tracing::warn!(
                kind = &*queued.kind,
                widget = queued.widget.as_deref().unwrap_or_default(),
                id = %queued.id,
                error,
                "a notification is given up; GET /v1/notifications shows it"
            );
            self.bury(&mut waiting, queued, tries.saturating_add(1), error.into());
            self.note_pending(&waiting);
            return self.to_write.notify_one();
        };
        tracing::debug!(kind = &*queued.kind, id = %queued.id, error, "a notification is tried again later");
        let failure = TryFailure { error: error.into(), at, is_unreachable };
        if waiting.lanes.retry(queued.number, now + wait, failure) {
            self.metrics.count(&queued.kind, NotificationOutcome::Retried);
        }
    }
}

#[cfg(test)]
impl Outbox {
    /// Notes what came of a first try.
    pub(super) fn settle_as(&self, queued: Arc<Queued>, delivery: WebhookDelivery) {
        self.settle(TriedWebhook { queued, tries: 0, delivery });
    }
}

impl UnderWay {
    fn ended(&mut self, queue: QueueKind) {
        let places = AT_ONCE.into_iter().zip(&mut self.counts);
        for (_, count) in places.filter(|((of, _), _)| *of == queue) {
            *count = count.saturating_sub(1);
        }
    }
}
