//! Single flight: one request fetches, and others for the same asset wait (RFC 9111 §4, "collapsed
//! requests"). They wait only for a limited time, and not for an answer that can't be stored.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Maximum wait for the head of an answer.
const FOR_THE_HEAD: Duration = Duration::from_secs(5);

/// Maximum wait for the body, once the head allows storing. The body comes no faster than the fetching
/// request's browser reads it.
const FOR_THE_BODY: Duration = Duration::from_secs(1);

/// State of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FetchProgress {
    /// The request was sent, and no head has arrived.
    Asked,
    /// The head has arrived, and the answer will be stored.
    Coming,
    /// The answer is stored.
    Landed,
    /// Nothing will be stored.
    Lost,
}

/// Fetch under way, for which others wait.
#[derive(Debug)]
pub struct Flight(watch::Sender<FetchProgress>);

impl Flight {
    /// Begins a flight for a request that was just sent.
    pub fn begin() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(FetchProgress::Asked)))
    }

    /// Reports that the head has arrived, and that the answer will be stored.
    pub fn coming(&self) {
        self.0.send_replace(FetchProgress::Coming);
    }

    /// Reports that the answer is stored.
    pub fn land(&self) {
        self.0.send_replace(FetchProgress::Landed);
    }

    /// Reports that nothing will be stored. A landed flight stays landed.
    pub fn lose(&self) {
        self.0.send_if_modified(|progress| {
            let lost = *progress != FetchProgress::Landed;
            if lost {
                *progress = FetchProgress::Lost;
            }
            lost
        });
    }

    /// Waits for the flight. `true`: look up again; `false`: fetch without waiting.
    pub async fn landed(&self) -> bool {
        let mut progress = self.0.subscribe();
        let known =
            timeout(FOR_THE_HEAD, progress.wait_for(|progress| *progress != FetchProgress::Asked)).await;
        match known.map(|known| known.map(|known| *known)) {
            Ok(Ok(FetchProgress::Landed)) => true,
            Ok(Ok(FetchProgress::Coming)) => {
                let ended = progress.wait_for(|progress| *progress != FetchProgress::Coming);
                timeout(FOR_THE_BODY, ended)
                    .await
                    .is_ok_and(|ended| ended.is_ok_and(|ended| *ended == FetchProgress::Landed))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn waiting(flight: &Arc<Flight>) -> tokio::task::JoinHandle<bool> {
        let flight = Arc::clone(flight);
        tokio::spawn(async move { flight.landed().await })
    }

    #[tokio::test]
    async fn those_who_wait_are_told() {
        for (tell, worth_it) in [
            ((|flight| flight.land()) as fn(&Flight), true),
            (|flight| flight.lose(), false),
            (
                |flight| {
                    flight.coming();
                    flight.land();
                    flight.lose();
                },
                true,
            ),
            (
                |flight| {
                    flight.coming();
                    flight.lose();
                },
                false,
            ),
        ] {
            let flight = Flight::begin();
            let early = waiting(&flight);
            tokio::task::yield_now().await;
            tell(&flight);
            assert_eq!(early.await.ok(), Some(worth_it));
            assert_eq!(flight.landed().await, worth_it, "also who comes late");
        }
    }

    #[tokio::test]
    async fn a_slow_body_is_not_waited_for_long() {
        let flight = Flight::begin();
        flight.coming();
        let started = Instant::now();
        assert!(!flight.landed().await);
        assert!(started.elapsed() < FOR_THE_HEAD, "{:?}", started.elapsed());
    }
}
