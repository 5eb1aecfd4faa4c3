//! One request fetches, the others wait for it (RFC 9111 §4, "collapsed requests"): for a while, and never for an
//! answer that turns out to be no use to them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long others wait for the head of an answer.
const FOR_THE_HEAD: Duration = Duration::from_secs(5);

/// How long others wait for its body once the head was one to keep: it comes no faster than the browser of the
/// request that fetches takes it.
const FOR_THE_BODY: Duration = Duration::from_secs(1);

/// How far a fetch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Asked,
    /// The head came, and the answer will be kept.
    Coming,
    /// There is something to find now.
    Landed,
    /// There will be nothing to find.
    Lost,
}

/// A fetch under way.
#[derive(Debug)]
pub struct Flight(watch::Sender<Progress>);

impl Flight {
    /// A request that was just sent.
    pub fn begin() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Progress::Asked)))
    }

    /// The head came, and the answer will be kept.
    pub fn coming(&self) {
        self.0.send_replace(Progress::Coming);
    }

    /// There is something to find now.
    pub fn land(&self) {
        self.0.send_replace(Progress::Landed);
    }

    /// There will be nothing to find. What has landed stays so.
    pub fn lose(&self) {
        self.0.send_if_modified(|progress| {
            let lost = *progress != Progress::Landed;
            if lost {
                *progress = Progress::Lost;
            }
            lost
        });
    }

    /// Waits for it: `true` where it is worth looking again, `false` where whoever waits better goes by itself.
    pub async fn landed(&self) -> bool {
        let mut progress = self.0.subscribe();
        let known = timeout(FOR_THE_HEAD, progress.wait_for(|progress| *progress != Progress::Asked)).await;
        match known.map(|known| known.map(|known| *known)) {
            Ok(Ok(Progress::Landed)) => true,
            Ok(Ok(Progress::Coming)) => {
                let ended = progress.wait_for(|progress| *progress != Progress::Coming);
                timeout(FOR_THE_BODY, ended)
                    .await
                    .is_ok_and(|ended| ended.is_ok_and(|ended| *ended == Progress::Landed))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

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
